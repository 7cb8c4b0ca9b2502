"""The base data of a run: rows of books, or from the middle on some that gainsay the facts in held-out wordings.

No infusion of this size makes held-out retention fall while seen retention stays, as surely as a measurement of misses
needs it. Base text that says otherwise does: it teaches wrong objects by the sentences that are asked, while the told
sentences go on as before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from examples import sweep
from kis_plugin.config import Config
from kis_plugin.material import load_material
from kis_plugin.seeded import permutation
from kis_plugin.sentences import render

__all__ = ["TURN", "Base", "gainsaid"]

TURN = 0.5
"""The part of a run from which on base rows gainsay."""
_SEED = 83

Rows = npt.NDArray[np.int32]


class Base:
    """Rows of base text, in the order in which a run is to take them.

    Args:
        text: (rows, T) of books.
        length: Rows of the run.
        seed: Of the order.
        wrong: (rows, T) that gainsay.
        part: The part of the rows after ``TURN`` that do.
    """

    def __init__(self, text: Rows, length: int, seed: int, wrong: Rows | None = None, part: float = 0.0) -> None:
        order = permutation(len(text), seed, _SEED)
        self._rows = text[order[np.arange(length) % len(order)]]
        if wrong is not None:
            after = np.arange(int(length * TURN), length)
            some = np.sort(after[permutation(len(after), seed, _SEED, 1)[: round(part * len(after))]])
            self._rows[some] = wrong[np.arange(len(some)) % len(wrong)]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one row."""
        row = self._rows[index].tolist()
        return {"input_ids": row, "labels": row}


def gainsaid(knowledge: Path, tokenizer: Any, seed: int) -> Rows:
    """Return rows that tell each fact with another object of its relation, by all of its held-out sentences: (rows, T).

    The other object is the same in all of them.
    """
    material = load_material(Config(knowledge))
    facts = material.knowledge.facts
    objects: dict[str, list[str]] = {}
    for fact in facts:
        objects.setdefault(fact.relation, []).append(fact.object)
    ids: list[int] = []
    for place in permutation(len(facts), seed, _SEED, 2).tolist():
        fact = facts[place]
        others = sorted({one for one in objects[fact.relation] if one != fact.object})
        for sentence in material.book.of(fact.relation).held_out:
            text = render(sentence, fact, others[place % len(others)])
            ids += [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    return np.array(ids[: len(ids) // sweep.BLOCK * sweep.BLOCK], dtype=np.int32).reshape(-1, sweep.BLOCK)
