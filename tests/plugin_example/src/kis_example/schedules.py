"""Infused rows in one block at the start of the window."""


class Block:
    name = "block"

    def row_of(self, slot: int, slots: int, rows: int, seed: int) -> int:
        return slot

    def slot_of(self, row: int, slots: int, rows: int, seed: int) -> "int | None":
        return row if row < slots else None
