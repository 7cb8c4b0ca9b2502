"""Limits the time of evaluations to a fraction of the training time, by evaluating fewer questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import permutation
from kis_plugin.retention.questions.question import Question
from kis_plugin.run.ranks import Ranks

__all__ = ["MIN_QUESTIONS", "TimeBudget", "cut_order"]

MIN_QUESTIONS = 100
"""Questions of a series are not cut to fewer: the accuracy over fewer is too noisy to be useful."""
_PLANNED = 0.9  # fraction of the allowance that a cut plans with, so that a slow evaluation later needs no other cut
_ROUNDING = 1e-3  # relative excess that is no reason to evaluate other facts than before


class TimeBudget:
    """Decides what part of the questions an evaluation includes.

    The first evaluation, before anything is trained, is not counted and includes all. From then on the part only
    shrinks, and each smaller one is a subset of the one before: the same facts are compared over the run.

    Args:
        max_cost: Evaluation takes at most this fraction of the training time so far.
        least: The part below which nothing is cut.
        kept: What ``state`` gave at the checkpoint, None at the beginning.
        clock: Returns seconds.
    """

    def __init__(
        self,
        max_cost: float,
        least: float,
        kept: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._max_cost, self._least, self._clock = max_cost, least, clock
        kept = kept or {"trained": 0.0, "evaluated": 0.0, "part": 1.0, "whole": None}
        self._trained, self._evaluated = float(kept["trained"]), float(kept["evaluated"])  # seconds
        self.part = float(kept["part"])
        self._whole: float | None = kept["whole"]  # seconds that all questions together take
        self._since = clock()
        self._began = self._since

    def begin(self, ranks: Ranks) -> float:
        """Note that an evaluation begins; return the part to evaluate, the same on every rank. Every rank calls it."""
        self._began = self._clock()
        self._trained += self._began - self._since
        if self._whole:
            allowed = self._max_cost * self._trained - self._evaluated
            if self.part * self._whole > allowed * (1 + _ROUNDING):
                self.part = min(self.part, max(_PLANNED * allowed / self._whole, self._least))
        # Clocks differ between ranks, so rank 0 decides. A float travels as its bits: summed with the zero bits of the
        # other ranks they arrive unchanged.
        mine = np.array([self.part if ranks.rank == 0 else 0.0])
        self.part = float(ranks.sum(mine.view(np.int64)).view(np.float64)[0])
        return self.part

    def end(self) -> None:
        """Note that the evaluation is done."""
        self._since = self._clock()
        seconds = self._since - self._began
        if self._whole is not None:
            self._evaluated += seconds
        else:
            self._trained = 0.0  # the time before the first evaluation was no training
        self._whole = seconds / self.part

    @property
    def exceeded(self) -> bool:
        """Whether even the least part takes more time than allowed."""
        return self._evaluated > self._max_cost * self._trained

    def state(self) -> dict[str, Any]:
        """Return what a resume needs, as JSON values."""
        trained = self._trained + self._clock() - self._since
        return {"trained": trained, "evaluated": self._evaluated, "part": self.part, "whole": self._whole}


def cut_order(questions: Sequence[Question], seed: int) -> npt.NDArray[np.float64]:
    """Return a value in (0, 1) for each question, (questions,): those below ``part`` are that part of each relation.

    The questions of one option set have one value, in every series, so that sets stay whole, and seen and held-out
    probes are about the same facts.
    """
    units = [(question.relation, question.option_set or (question.fact,)) for question in questions]
    members: dict[str, dict[tuple[int, ...], int]] = {}
    for relation, option_set in units:
        of_relation = members.setdefault(relation, {})
        of_relation.setdefault(option_set, len(of_relation))
    places = {
        relation: (np.argsort(permutation(len(found), seed, number)) + 0.5) / len(found)
        for number, (relation, found) in enumerate(sorted(members.items()))
    }
    return np.array([places[relation][members[relation][facts]] for relation, facts in units], dtype=np.float64)
