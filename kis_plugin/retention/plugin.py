"""Retention as a plugin: asks the model about infused facts and controls while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from kis_plugin.config.schema import Config
from kis_plugin.counting.by_count import Counted, counted_tokens, read_run_counts
from kis_plugin.errors import KISError, Problem
from kis_plugin.hook_markers import hookimpl
from kis_plugin.retention.baselines import baseline_scores
from kis_plugin.retention.prior_knowledge import keep_known
from kis_plugin.retention.probes import Question, by_series
from kis_plugin.retention.question_builder import CONTROL, SEEN, QuestionBuilder
from kis_plugin.retention.results import Outcomes, rows_of_series, series_records
from kis_plugin.retention.time_budget import LEAST, Budget, stratified
from kis_plugin.run import log as runlog
from kis_plugin.run.context import TrainingRun
from kis_plugin.tokenized.infusion_split import InfusionSplit, load_split

if TYPE_CHECKING:  # it imports torch
    from kis_plugin.retention.evaluator import Evaluator
    from kis_plugin.retention.general_loss import GeneralText

__all__ = ["CONTROL", "LEAK", "SEEN", "Retention", "evaluation_steps", "questions_of"]

LEAK = 0.001
"""Controls above chance with a smaller binomial probability than this are reported."""


class Retention:
    """One run's retention: asks the same questions at every evaluation, on every rank alike.

    Where knowledge changes, they are made anew for the facts that hold, whenever others do.
    """

    def __init__(self, run: TrainingRun) -> None:
        self._steps = evaluation_steps(run.config.retention.every, run.steps, run.start_step)
        self._asked: Evaluator | None = None
        self._part: Evaluator | None = None  # what the budget leaves of it
        self._budget: Budget | None = None
        self._general: GeneralText | None = None
        self._asker: QuestionBuilder | None = None
        self._phase = -1
        self._known: npt.NDArray[np.bool_] | None = None  # (infused facts,)
        self._counted: Counted | None = None
        self._said: set[str] = set()  # notes that the user has had

    @hookimpl
    def kis_run_start(self, run: TrainingRun, resumed: Mapping[str, Any] | None) -> None:
        """Make and tokenize the questions.

        Raises:
            KISError: There are facts, and nothing can be asked of them.
        """
        material, told = load_split(run.config), run.session.infuser.infused_facts
        if run.config.infusion.skip_known:
            self._known = ~np.isin(material.infused, told, assume_unique=True)
        known = material.infused[:0] if self._known is None else material.infused[self._known]
        self._asker = QuestionBuilder(run.config, material, told, known)
        if (base := read_run_counts(run.config, material)) is not None:
            self._counted = Counted(base, self._asker.facts_of, counted_tokens(base.about, run.tokenizer))
        self._prepare(run, run.start_step)
        self._general = _general_text(run)
        if probes := self._probes():
            counts = ", ".join(f"{count} {name}" for name, count in probes.items())
            options = run.config.retention.probes.options
            asked = f"asking {counts} probes, those with options of {options}"
            self._tell(run, [f"{asked}, at {len(self._steps)} points of the run"])
            if run.config.retention.max_cost is not None:
                least = min(LEAST / next(iter(probes.values())), 1.0)
                self._budget = Budget(run.config.retention.max_cost, least, (resumed or {}).get("evaluation"))

    @hookimpl
    def kis_run_record(self, run: TrainingRun) -> Mapping[str, Any]:
        """Say how many options a probe has, how many probes each series, and what the null scores on it."""
        null = baseline_scores(by_series(self._asked.questions if self._asked else ()))
        return {"options": run.config.retention.probes.options, "probes": self._probes(), "null": null}

    @hookimpl
    def kis_metrics(self, run: TrainingRun, records: Sequence[runlog.Record]) -> None:
        """Keep what was known when the run log begins: by then nothing refuses the run any more."""
        if self._known is not None and any(isinstance(record, runlog.Run) for record in records):
            keep_known(run.folder, self._known)

    @hookimpl
    def kis_step_end(self, run: TrainingRun, step: int) -> None:
        """Evaluate every series, and general loss, where an evaluation is due."""
        if step not in self._steps:
            return
        self._prepare(run, step)
        if self._asked is None:
            if loss := self._general_loss(run, step):
                run.session.publish(loss)
            return
        asked = self._affordable(self._asked, run)
        outcomes = asked.answer(run.model, run.ranks)
        records = series_records(step, run.tokens_at(step), outcomes, run.config.retention.by)
        records = self._with_counts(run, step, outcomes, records)
        run.session.publish([*records, *self._general_loss(run, step)])
        run.session.publish_outcomes(step, outcomes)
        self._tell(run, asked.remarks)
        if step == run.steps:
            self._tell(run, _leaks(records))
        if self._budget:
            self._budget.end()
            if self._budget.exceeded:
                self._tell(run, [_too_dear(run)])

    @hookimpl
    def kis_state(self) -> Mapping[str, Any]:
        """Keep what was spent: a resumed run asks no more than the unbroken one."""
        return {"evaluation": self._budget.state()} if self._budget else {}

    def _general_loss(self, run: TrainingRun, step: int) -> list[runlog.Record]:
        if self._general is None:
            return []
        loss = self._general.loss(run, step)
        if loss is None:
            self._tell(run, [f"warning: general loss is no number at step {step}"])
        return [] if loss is None else [loss]

    def _affordable(self, whole: Evaluator, run: TrainingRun) -> Evaluator:
        """Return the part of the questions that may be asked now."""
        if self._budget is None:
            return whole
        before, part = self._budget.part, self._budget.begin(run.ranks)
        if part == 1:
            return whole
        if self._part is None or part != before:
            times = stratified(whole.questions, run.config.seed)
            some = [question for question, time in zip(whole.questions, times, strict=True) if time < part]
            self._part = self._ready(some, run, [])
            self._tell(
                run, [f"{len(some)} of {len(whole.questions)} probes fit retention.max_cost, the same from now on"]
            )
        return self._part or whole

    def _with_counts(
        self, run: TrainingRun, step: int, outcomes: Outcomes, records: list[runlog.Retention]
    ) -> list[runlog.Retention]:
        """Add accuracy by count, and at the end of the run how efficiently facts were learnt."""
        if self._counted is None:
            return records
        tokens = run.tokens_at(step)
        if step == run.steps:
            shown = run.session.shown()  # every rank must ask
            if run.rank == 0:
                records = self._counted.fitted(records, outcomes, tokens, shown)
        return records + self._counted.records(step, tokens, outcomes)

    def _prepare(self, run: TrainingRun, step: int) -> None:
        """Make the questions of the phase that ``step`` lies in, if it is another one than before."""
        assert self._asker is not None
        at = step / max(run.steps, 1)
        phase = self._asker.periods.phase(at)
        if phase == self._phase:
            return
        begins, self._phase, self._part = self._phase < 0, phase, None
        notes: list[str] = []
        questions = self._asker.questions(at, notes)
        self._asked = self._ready(questions, run, notes)
        # A run that has begun is not stopped for its probes, nor one that infuses documents.
        if self._asker.material.knowledge.facts and questions and self._asked is None and begins:
            found = "no sentence that fits a row"
            raise KISError(Problem("retention.probes", found, f"some of at most {run.sequence_length} tokens"))
        self._tell(run, notes)

    def _ready(self, questions: Sequence[Question], run: TrainingRun, notes: list[str]) -> Evaluator | None:
        from kis_plugin.retention.evaluator import Evaluator

        asked = Evaluator(questions, run.tokenizer, run.sequence_length, notes, run.config.retention.batch_tokens)
        return asked if asked.questions else None

    def _probes(self) -> dict[str, int]:
        """Return how many questions each series has."""
        questions = self._asked.questions if self._asked else ()
        return {name: len(rows) for name, rows in rows_of_series(questions).items()}

    def _tell(self, run: TrainingRun, lines: Sequence[str]) -> None:
        """Tell the user what was not told before."""
        for line in lines:
            if run.rank == 0 and line not in self._said:
                run.notify(f"kis: {line}.".replace("..", "."))
        self._said |= set(lines)


def evaluation_steps(every: float, steps: int, start_step: int = 0) -> frozenset[int]:
    """Return the steps after which to evaluate: at the start, the end and in between.

    Args:
        every: A fraction of the run below 1, or a number of steps.
        steps: Optimizer steps of the run.
        start_step: Steps done before a resume; those were evaluated then.
    """
    if every < 1:
        points = {round(part * every * steps) for part in range(int(1 / every) + 1)}
    else:
        points = set(range(0, steps, int(every)))
    return frozenset(point for point in points | {steps} if start_step < point <= steps or point == start_step == 0)


def questions_of(config: Config, material: InfusionSplit, notes: list[str]) -> list[Question]:
    """Make the questions that a run asks at its beginning if the model knows nothing.

    Args:
        config: What to ask.
        material: Facts or passages, and which of them are controls.
        notes: Takes what the user should know of, one line each.

    Raises:
        KISError: No set of facts can be asked, or an unknown probe kind.
    """
    return QuestionBuilder(config, material, material.infused, np.empty(0, dtype=np.int64)).questions(0.0, notes)


def _general_text(run: TrainingRun) -> GeneralText | None:
    """Return the text whose loss is measured, if the configuration names one."""
    wanted = run.config.retention
    if wanted.general_text is None:
        return None
    from kis_plugin.retention.general_loss import GeneralText

    return GeneralText(wanted.general_text, run.tokenizer, run.sequence_length, wanted.batch_tokens)


def _too_dear(run: TrainingRun) -> str:
    """Say that the least that is worth asking takes more than it may."""
    allowed = run.config.retention.max_cost
    return (
        f"warning: even {LEAST} probes a series take more than retention.max_cost, {allowed:g} of the training time; "
        "they are asked all the same. Raise retention.every to evaluate less often"
    )


def _leaks(records: Sequence[runlog.Retention]) -> list[str]:
    """Say which controls the model knows better than it could."""
    return [
        f"warning: control facts are answered at {record.accuracy:.3f}, above chance ({_blind(record):.3f}), "
        "though none was infused: the base data tells them, their names give them away, or infused text holds them. "
        "Retention is inflated alike."
        for record in records
        if record.probe == CONTROL and _beats(record, _blind(record)) < LEAK
    ]


def _beats(record: runlog.Retention, chance: float) -> float:
    """Return the probability of so many right answers by chance; questions of one fact count as what they are worth."""
    return float(binomtest(round(record.worth * record.accuracy), record.worth, chance, alternative="greater").pvalue)


def _blind(record: runlog.Retention) -> float:
    """Return the most that a series scores without any knowledge of subjects: chance, or its floor where it is higher.

    In balanced sets the null has fewer right than guessing has: ties count as wrong for it.
    """
    return float(max(record.extra["chance"], record.extra.get("floor", 0.0)))
