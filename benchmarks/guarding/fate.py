"""What became of a run, by questions that its guard never saw.

The witness probes other facts of the same run, infused as often by the same rule, each by both of its held-out
sentences. If its retention falls, that of the run does; that single facts change
sides by chance is independent of the guard's.

A run has fallen if it ends lower than it once stood. The best of eleven noisy numbers is too high, so whoever measures
from it finds falls where there are none. The best evaluation is therefore picked on the guard's questions, and the fall
from it measured on the witness's, which had no part in the choice: one paired t-test a run, over facts, between the
best evaluation and the mean of the last two. (The guard's test compares single evaluations only: a fact that is mostly
known is more often missed once in two than known once.) As for the guard, a fall of less than ``DROP``
of the height above chance is none.

A fall with a p-value of ``SURE`` or less makes a run one that *collapses*; or that *forgets*, if what is seen fell
between the same evaluations too. With more than ``UNSURE``, it *keeps* what it knows. What lies between is *unclear*,
and so is a fall in the last evaluation of all, from the one before: nobody knows whether it would have lasted. Unclear
runs are counted by themselves, and in no rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import ttest_1samp

from benchmarks.guarding.trace import CHANCE, Trace
from benchmarks.guarding.witness import WITNESS
from kis_plugin.guard.paired_test import SeriesResults

__all__ = ["DROP", "FATES", "LAST", "SURE", "UNSURE", "Change", "Fate", "Witnessed"]

SURE, UNSURE = 0.01, 0.1
DROP = 0.05
LAST = 2
"""Evaluations that are the end of a run."""
FATES = ("keeps", "unclear", "collapses", "forgets")


@dataclass(frozen=True)
class Change:
    """One series of the witness in two parts of a run.

    Attributes:
        before: Accuracy at the best evaluation.
        after: Accuracy at the end.
        p_value: Of as great a fall by chance.
    """

    before: float
    after: float
    p_value: float

    @property
    def part(self) -> float:
        """The fall as part of the height above chance."""
        return (self.before - self.after) / max(self.before - CHANCE, 1e-9)


@dataclass(frozen=True)
class Fate:
    """What the witness shows of a run up to one of its evaluations.

    Attributes:
        held_out: Change since the best evaluation.
        seen: Likewise, between the same evaluations.
        lasts: ``LAST`` evaluations came after the best.
    """

    held_out: Change
    seen: Change
    lasts: bool

    @property
    def fell(self) -> bool:
        """Whether retention is lower than at the best evaluation, for however long."""
        return self.held_out.p_value <= SURE and self.held_out.part >= DROP

    @property
    def verdict(self) -> str:
        """One of ``FATES``."""
        if self.held_out.p_value > UNSURE or self.held_out.part < DROP:
            return "keeps"
        if not (self.fell and self.lasts):
            return "unclear"
        return "forgets" if self.seen.p_value <= SURE else "collapses"


@dataclass(frozen=True)
class Witnessed:
    """A run as the witness knows it."""

    trace: Trace

    @cached_property
    def steps(self) -> list[int]:
        """When it was evaluated."""
        return [step for step, _ in self.trace.evaluations]

    @cached_property
    def heights(self) -> list[float]:
        """Held-out retention at each evaluation, by the witness."""
        return [_accuracy(one) for one in self._series[f"{WITNESS}/held_out"]]

    @property
    def peak(self) -> int:
        """The step of the best evaluation, the last of several, as the guard's questions pick it: falls begin there."""
        return self.steps[self._best(len(self.steps) - 1)]

    def fate(self, step: int | None = None) -> Fate:
        """Return what became of the run by ``step``, its end by default."""
        last = self.steps.index(self.steps[-1] if step is None else step)
        best = self._best(last)
        now = range(max(best + 1, last + 1 - LAST), last + 1)
        changes = []
        for name in ("held_out", "seen"):
            series = self._series[f"{WITNESS}/{name}"]
            changes.append(_change(series[best], [series[number] for number in now] or [series[best]]))
        return Fate(*changes, lasts=last - best >= LAST)

    def _best(self, last: int) -> int:
        heights = [_accuracy(one) for one in self._series["held_out"][: last + 1]]
        return max(range(last + 1), key=lambda number: (heights[number], number))

    @cached_property
    def _series(self) -> dict[str, list[SeriesResults]]:
        outcomes = [found for _, found in self.trace.outcomes()]
        names = ("held_out", f"{WITNESS}/held_out", f"{WITNESS}/seen")
        return {name: [SeriesResults.of(one, name) for one in outcomes] for name in names}


def _accuracy(series: SeriesResults) -> float:
    return float(series.results.right.mean())


def _change(then: SeriesResults, now: list[SeriesResults]) -> Change:
    """Compare an evaluation with the mean of some later ones, which used the same questions."""
    was = then.results.right.astype(np.float64)
    is_ = np.mean([one.results.right for one in now], axis=0)
    _, of_fact = np.unique(then.facts, return_inverse=True)
    net = np.bincount(of_fact.ravel(), weights=is_ - was)
    p_value = float(ttest_1samp(net, 0.0, alternative="less").pvalue) if net.any() else 1.0
    return Change(float(was.mean()), float(is_.mean()), p_value)
