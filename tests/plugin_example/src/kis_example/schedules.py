"""All of the infusion in the first half of the window."""


class FirstHalf:
    name = "first_half"

    def weights(self, parts: int) -> "list[int]":
        return [1 if part < parts // 2 else 0 for part in range(parts)]
