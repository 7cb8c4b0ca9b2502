"""Whether retention fell between two evaluations, by more than chance allows: a paired test over facts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.results import Outcomes

__all__ = ["Change", "Results", "SeriesResults", "compare", "pairwise_level"]

BoolArray = npt.NDArray[np.bool_]


def pairwise_level(alpha: float, evaluations: int) -> float:
    """Return the level of one test such that all tests between a run's evaluations together keep ``alpha``.

    Bonferroni over all pairs of evaluations: whichever earlier evaluation the guard compares with, even the best one
    in hindsight, the probability of any false alarm in the whole run stays below ``alpha``.
    """
    return alpha / max(evaluations * (evaluations - 1) // 2, 1)


@dataclass(frozen=True)
class Results:
    """The right and wrong answers of one evaluation, to be compared with a later one's, even after a resume.

    Attributes:
        keys: (questions,) what identifies each question, sorted.
        right: (questions,) whether it was answered rightly.
    """

    keys: npt.NDArray[np.uint64]
    right: BoolArray

    def __len__(self) -> int:
        return len(self.keys)

    def state(self) -> dict[str, Any]:
        """Return the results as JSON values: 8 bytes and one bit for each question, in base64."""
        keys, right = self.keys.astype("<u8").tobytes(), np.packbits(self.right).tobytes()
        return {"questions": len(self), "keys": _base64(keys), "right": _base64(right)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Results:
        """Return the results that ``state()`` was made from."""
        keys = np.frombuffer(base64.b64decode(state["keys"]), dtype="<u8").astype(np.uint64)
        bits = np.frombuffer(base64.b64decode(state["right"]), dtype=np.uint8)
        return cls(keys, np.unpackbits(bits, count=state["questions"]).astype(np.bool_))


@dataclass(frozen=True)
class SeriesResults:
    """One series of an evaluation: its results, and the facts that they are about.

    Attributes:
        results: By key.
        facts: (questions,) the fact of each question.
        chance: (questions,) probability that a random answer is right.
    """

    results: Results
    facts: npt.NDArray[np.int64]
    chance: npt.NDArray[np.float64]

    @classmethod
    def of(cls, outcomes: Outcomes, name: str) -> SeriesResults:
        """Return a series of an evaluation; an empty one where there is none of that name."""
        rows = outcomes.series.get(name, np.empty(0, dtype=np.int64))
        questions = [outcomes.questions[row] for row in rows.tolist()]
        # Sorted by key, so that two evaluations are compared by merging; equal questions count once.
        keys, first = np.unique(_keys(questions), return_index=True)
        rows = rows[first]
        facts = np.array([questions[place].fact for place in first.tolist()], dtype=np.int64)
        return cls(Results(keys, outcomes.correct[rows]), facts, outcomes.chance[rows])


@dataclass(frozen=True)
class Change:
    """How one series changed between two evaluations, over the questions that both contain.

    Attributes:
        questions: How many those are.
        net: (facts,) how many more questions about each fact are answered rightly than before; negative for fewer.
        before: Accuracy then.
        after: Accuracy now.
        chance: Accuracy of random answers.
    """

    questions: int
    net: npt.NDArray[np.int64]
    before: float
    after: float
    chance: float

    @property
    def facts(self) -> int:
        """How many facts the questions are about."""
        return len(self.net)

    @property
    def lost(self) -> int:
        """Facts of which fewer questions are answered rightly than before."""
        return int((self.net < 0).sum())

    @property
    def gained(self) -> int:
        """Facts of which more questions are answered rightly than before."""
        return int((self.net > 0).sum())

    @property
    def p_value(self) -> float:
        """Probability of at least as great a fall, if each fact were equally likely to change either way.

        The one-sided exact randomization test that flips the signs of facts' net changes (Fisher 1935, "The design of
        experiments", section 21). Facts are its units, so it holds however the questions about one fact depend on each
        other. With one question a fact it is the sign test on facts, which is McNemar's test (1947, Psychometrika 12).
        """
        sizes, counts = np.unique(np.abs(self.net[self.net != 0]), return_counts=True)
        # Let T be the sum of |net| over facts with a positive sign. Its distribution is the convolution, over sizes, of
        # size * Binomial(count, 1/2); the sum of all net changes is 2 T minus a constant.
        distribution = np.ones(1)
        for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
            part = np.zeros(size * count + 1)
            part[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
            distribution = np.convolve(distribution, part)
        # P(T <= observed T): a sum of gains as small as this one, or smaller. Rounding in the convolution may exceed 1.
        return min(float(distribution[: int(self.net[self.net > 0].sum()) + 1].sum()), 1.0)

    @property
    def relative_drop(self) -> float:
        """The fall as a fraction of the height above chance that it began at; infinite where it began at chance."""
        fall, height = self.before - self.after, self.before - self.chance
        if fall <= 0:
            return 0.0
        return fall / height if height > 0 else float("inf")


def compare(then: Results, now: SeriesResults) -> Change:
    """Compare two evaluations of a series over their common questions.

    Args:
        then: The earlier one.
        now: The later one.
    """
    # Questions that only one of the evaluations has say nothing about a change.
    _, before, after = np.intersect1d(then.keys, now.results.keys, assume_unique=True, return_indices=True)
    if not len(before):
        return Change(0, np.empty(0, dtype=np.int64), 0.0, 0.0, 0.0)
    was, is_now = then.right[before], now.results.right[after]
    # The questions about one fact are not independent, so their changes are summed first: facts are what is compared.
    _, of_fact = np.unique(now.facts[after], return_inverse=True)
    net = np.bincount(of_fact.ravel(), weights=is_now.astype(np.float64) - was)  # (facts,)
    return Change(
        questions=len(before),
        net=net.astype(np.int64),
        before=float(was.mean()),
        after=float(is_now.mean()),
        chance=float(now.chance[after].mean()),
    )


def _keys(questions: Sequence[Question]) -> npt.NDArray[np.uint64]:
    """Return what identifies each question in every evaluation, (questions,): a hash of its fact and its prefix."""
    digests = [hashlib.blake2b(f"{one.fact} {one.prefix}".encode(), digest_size=8).digest() for one in questions]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
