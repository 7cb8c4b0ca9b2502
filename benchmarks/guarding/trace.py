"""One run as it was observed: every question, every answer, every loss. Enough to replay the guard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.guarding.witness import Recorder
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.results import Outcomes

__all__ = ["CHANCE", "Probe", "Trace"]

CHANCE = 0.25


@dataclass(frozen=True)
class Probe:
    """One question.

    Attributes:
        fact: That it is about.
        prefix: Its sentence up to the object.
        series: As the run calls it.
    """

    fact: int
    prefix: str
    series: str


@dataclass(frozen=True)
class Trace:
    """One run.

    Attributes:
        scenario: Its name.
        seed: Of everything in it.
        steps: Optimizer steps.
        every: The part of the run after which it was evaluated.
        run: Of its run record: params, tokens, share, frequency.
        probes: The questions.
        evaluations: Step, and for each probe ``1`` for a right answer.
        losses: Step, split and nats a token, in order.
        verdicts: Step and what the guard said in the run itself.
        seconds: That the run took.
    """

    scenario: str
    seed: int
    steps: int
    every: float
    run: Mapping[str, float]
    probes: tuple[Probe, ...]
    evaluations: tuple[tuple[int, str], ...]
    losses: tuple[tuple[int, str, float], ...] = ()
    verdicts: tuple[tuple[int, str], ...] = ()
    seconds: float = 0.0

    @classmethod
    def of(cls, recorder: Recorder, **about: Any) -> Trace:
        """Return what a recorder kept."""
        questions = recorder.evaluations[0][1].questions
        return cls(
            probes=tuple(Probe(one.fact, one.prefix, one.series) for one in questions),
            evaluations=tuple(
                (step, "".join(map(str, outcomes.correct.astype(int)))) for step, outcomes in recorder.evaluations
            ),
            losses=tuple((loss.step, loss.split, loss.loss) for loss in recorder.losses),
            verdicts=tuple(recorder.verdicts),
            **about,
        )

    def outcomes(self) -> list[tuple[int, Outcomes]]:
        """Return every evaluation as the run's plugins had it, as far as the guard looks at it."""
        questions = tuple(Question(one.fact, one.prefix, (), 0, one.series) for one in self.probes)
        nothing = np.zeros(len(questions))  # numbers, as of a model that has not diverged
        chance = np.full(len(questions), CHANCE)
        return [
            (step, Outcomes(questions, np.array([mark == "1" for mark in right]), nothing, nothing, chance, 0.0))
            for step, right in self.evaluations
        ]

    def write(self, path: Path) -> None:
        """Write the run to a file."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Trace:
        """Return a run that was written."""
        values = json.loads(path.read_text(encoding="utf-8"))
        values["probes"] = tuple(Probe(**one) for one in values["probes"])
        for name in ("evaluations", "losses", "verdicts"):
            values[name] = tuple(tuple(one) for one in values[name])
        return cls(**values)
