"""Whether retention fell between two evaluations: a paired test on facts, and the level that a whole run allows."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from kis_plugin.retention.probes import Question
from kis_plugin.retention.results import Outcomes

__all__ = ["Answers", "Fall", "Series", "compare", "level_of"]

Bits = npt.NDArray[np.bool_]


def level_of(false_alarms: float, evaluations: int) -> float:
    """Return the level of one test among all pairs of a run's evaluations.

    By Bonferroni: whichever earlier evaluation is chosen to compare with, the best one in hindsight too, the chance
    of any false alarm in the whole run stays below ``false_alarms``.
    """
    return false_alarms / max(evaluations * (evaluations - 1) // 2, 1)


@dataclass(frozen=True)
class Answers:
    """What a series answered in one evaluation, to be compared with another one's later, perhaps after a resume.

    Attributes:
        keys: (questions,) what each question is known by, sorted.
        right: (questions,) whether it was answered rightly.
    """

    keys: npt.NDArray[np.uint64]
    right: Bits

    def __len__(self) -> int:
        return len(self.keys)

    def state(self) -> dict[str, Any]:
        """Return the answers as JSON values: 8 bytes and a bit for each question, in base64."""
        keys, right = self.keys.astype("<u8").tobytes(), np.packbits(self.right).tobytes()
        return {"questions": len(self), "keys": _text(keys), "right": _text(right)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Answers:
        """Return the answers that ``state()`` was made of."""
        keys = np.frombuffer(base64.b64decode(state["keys"]), dtype="<u8").astype(np.uint64)
        bits = np.frombuffer(base64.b64decode(state["right"]), dtype=np.uint8)
        return cls(keys, np.unpackbits(bits, count=state["questions"]).astype(np.bool_))


@dataclass(frozen=True)
class Series:
    """One series of an evaluation: its answers, and of which facts they are.

    Attributes:
        answers: By key.
        facts: (questions,) the fact of each question.
        chance: (questions,) probability that a blind answer is right.
    """

    answers: Answers
    facts: npt.NDArray[np.int64]
    chance: npt.NDArray[np.float64]

    @classmethod
    def of(cls, outcomes: Outcomes, name: str) -> Series:
        """Return a series of an evaluation; an empty one where there is none of that name."""
        rows = outcomes.series.get(name, np.empty(0, dtype=np.int64))
        asked = [outcomes.questions[row] for row in rows.tolist()]
        keys, first = np.unique(_keys(asked), return_index=True)
        rows = rows[first]
        facts = np.array([asked[place].fact for place in first.tolist()], dtype=np.int64)
        return cls(Answers(keys, outcomes.correct[rows]), facts, outcomes.chance[rows])


@dataclass(frozen=True)
class Fall:
    """One series in two evaluations, by the questions that were asked in both.

    Attributes:
        questions: How many those are.
        lost: Facts of which fewer questions are answered rightly than before.
        gained: Facts of which more are.
        before: Accuracy then.
        after: Accuracy now.
        chance: Accuracy of blind answers.
    """

    questions: int
    lost: int
    gained: int
    before: float
    after: float
    chance: float

    @property
    def p_value(self) -> float:
        """Probability of at least as many facts lost among those that changed, were either way as likely.

        The one-sided exact sign test, which on single questions is McNemar's: Binomial(lost + gained, 1/2).
        """
        changed = self.lost + self.gained
        return float(binomtest(self.lost, changed, 0.5, alternative="greater").pvalue) if changed else 1.0

    @property
    def part(self) -> float:
        """The fall, as part of the height above chance that it began at; infinite for a fall from chance or below."""
        fall, height = self.before - self.after, self.before - self.chance
        if fall <= 0:
            return 0.0
        return fall / height if height > 0 else float("inf")


def compare(then: Answers, now: Series) -> Fall:
    """Compare two evaluations of a series by what was asked in both; facts count once, however many questions ask them.

    Args:
        then: Of the earlier one.
        now: Of the later one.
    """
    _, before, after = np.intersect1d(then.keys, now.answers.keys, assume_unique=True, return_indices=True)
    if not len(before):
        return Fall(0, 0, 0, 0.0, 0.0, 0.0)
    was, is_ = then.right[before], now.answers.right[after]
    _, of_fact = np.unique(now.facts[after], return_inverse=True)
    net = np.bincount(of_fact.ravel(), weights=is_.astype(np.float64) - was)
    return Fall(
        questions=len(before),
        lost=int((net < 0).sum()),
        gained=int((net > 0).sum()),
        before=float(was.mean()),
        after=float(is_.mean()),
        chance=float(now.chance[after].mean()),
    )


def _keys(questions: Sequence[Question]) -> npt.NDArray[np.uint64]:
    """Return what each question is known by in every evaluation, (questions,): a hash of its fact and its prefix."""
    digests = [hashlib.blake2b(f"{one.fact} {one.prefix}".encode(), digest_size=8).digest() for one in questions]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
