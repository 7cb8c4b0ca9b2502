"""What evaluation may cost: a part of the training time so far, kept by asking less."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import permutation
from kis_plugin.retention.probes import Question
from kis_plugin.run.ranks import Ranks

__all__ = ["LEAST", "Budget", "stratified"]

LEAST = 100
"""Questions of a series are not cut to fewer: an accuracy of fewer says nothing."""
_SPARE = 0.9  # of what may be spent is planned with, so that a slow evaluation later needs no cut
_ROUNDING = 1e-3  # no reason to ask other facts than before


class Budget:
    """Decides which part of the questions an evaluation asks.

    The first evaluation, before anything is trained, is not counted and asks all. From then on the part only shrinks,
    and each smaller one is of the same questions: what is compared over the run is the same facts.

    Args:
        max_cost: Evaluation takes at most this part of the training time so far.
        least: The part below which nothing is cut.
        kept: What ``state`` gave at the checkpoint, None at the beginning.
        clock: Seconds.
    """

    def __init__(
        self,
        max_cost: float,
        least: float,
        kept: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._max_cost, self._least, self._clock = max_cost, least, clock
        kept = kept or {"trained": 0.0, "asked": 0.0, "part": 1.0, "whole": None}
        self._trained, self._asked = float(kept["trained"]), float(kept["asked"])  # seconds
        self.part = float(kept["part"])
        self._whole: float | None = kept["whole"]  # seconds that all questions would take
        self._since = clock()
        self._began = self._since

    def begin(self, ranks: Ranks) -> float:
        """Say that an evaluation begins; return the part to ask, the same on every rank. Every rank calls it."""
        self._began = self._clock()
        self._trained += self._began - self._since
        if self._whole:
            allowed = self._max_cost * self._trained - self._asked
            if self.part * self._whole > allowed * (1 + _ROUNDING):
                self.part = min(self.part, max(_SPARE * allowed / self._whole, self._least))
        mine = np.array([self.part if ranks.rank == 0 else 0.0])  # whose bits are all 0
        self.part = float(ranks.sum(mine.view(np.int64)).view(np.float64)[0])
        return self.part

    def end(self) -> None:
        """Say that the evaluation is done."""
        self._since = self._clock()
        seconds = self._since - self._began
        if self._whole is not None:
            self._asked += seconds
        else:
            self._trained = 0.0  # what was before the first evaluation was no training
        self._whole = seconds / self.part

    @property
    def exceeded(self) -> bool:
        """Whether even the least part takes more than it may."""
        return self._asked > self._max_cost * self._trained

    def state(self) -> dict[str, Any]:
        """Return what a resume needs, as JSON values."""
        trained = self._trained + self._clock() - self._since
        return {"trained": trained, "asked": self._asked, "part": self.part, "whole": self._whole}


def stratified(questions: Sequence[Question], seed: int) -> npt.NDArray[np.float64]:
    """Return when each question is cut: those below a part make up that part of each relation: (questions,).

    Questions that are asked together have one value, in whatever series, so that options stay balanced and seen and
    held-out probes are of the same facts.
    """
    units = [(question.relation, question.mates or (question.fact,)) for question in questions]
    members: dict[str, dict[tuple[int, ...], int]] = {}
    for relation, mates in units:
        of_relation = members.setdefault(relation, {})
        of_relation.setdefault(mates, len(of_relation))
    places = {
        relation: (np.argsort(permutation(len(found), seed, number)) + 0.5) / len(found)
        for number, (relation, found) in enumerate(sorted(members.items()))
    }
    return np.array([places[relation][members[relation][mates]] for relation, mates in units], dtype=np.float64)
