"""Retention as a run plugin: evaluates infused facts and controls while the model trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.hook_markers import hookimpl
from kis_plugin.retention.control_leaks import leak_warnings
from kis_plugin.retention.evaluation_steps import evaluation_steps_of
from kis_plugin.retention.general_split import general_split_notes
from kis_plugin.retention.prior_knowledge_file import keep_known
from kis_plugin.retention.questions.baselines import baseline_scores
from kis_plugin.retention.questions.question import Question, by_series
from kis_plugin.retention.questions.question_builder import QuestionBuilder
from kis_plugin.retention.results import above_control, rows_of_series, series_records
from kis_plugin.retention.series import HELD_OUT
from kis_plugin.retention.time_budget import MIN_QUESTIONS, TimeBudget, cut_order
from kis_plugin.run import log as runlog
from kis_plugin.run.context import TrainingRun
from kis_plugin.tokenized.document_start import probe_tokenizer, start_notes
from kis_plugin.tokenized.infusion_split import load_split

if TYPE_CHECKING:  # these import torch
    from kis_plugin.retention.evaluator import Evaluator
    from kis_plugin.retention.general_loss import GeneralText

__all__ = ["Retention"]


class Retention:
    """One run's retention: evaluates the same questions each time, on every rank alike.

    Where knowledge changes during the run, the questions are made anew whenever other facts hold.
    """

    def __init__(self, run: TrainingRun) -> None:
        self._steps = evaluation_steps_of(run, run.start_step)
        self._evaluator: Evaluator | None = None
        self._reduced: Evaluator | None = None  # with the questions that the time budget leaves
        self._budget: TimeBudget | None = None
        self._general: GeneralText | None = None
        self._builder: QuestionBuilder | None = None
        self._phase = -1
        self._known: npt.NDArray[np.bool_] | None = None  # (infused facts,)
        self._notified: set[str] = set()  # lines that the user has seen
        self._splits: set[str] = set()  # evaluation sets with a loss, on rank 0

    @hookimpl
    def kis_run_start(self, run: TrainingRun, resumed: Mapping[str, Any] | None) -> None:
        """Make and tokenize the questions.

        Raises:
            KISError: No question can be made about any of the facts; or the model cannot be probed.
        """
        split, infused = load_split(run.config), run.session.infuser.infused_facts
        infused = split.infused if infused is None else infused
        if run.config.infusion.skip_known:
            self._known = ~np.isin(split.infused, infused, assume_unique=True)
        known = split.infused[:0] if self._known is None else split.infused[self._known]
        self._builder = QuestionBuilder(run.config, split, infused, known)
        self._prepare(run, run.start_step)
        if self._evaluator is not None:
            self._evaluator.try_model(run.model)
        self._general = _general_text(run)
        self._notify(run, start_notes(run.config, run.tokenizer))
        if probes := self._probes():
            counts = ", ".join(f"{count} {name}" for name, count in probes.items())
            options = self._builder.options
            probed = f"evaluating {counts} probes, those with options of {options}"
            self._notify(run, [f"{probed}, at {len(self._steps)} points of the run"])
            if run.config.retention.max_cost is not None:
                least = min(MIN_QUESTIONS / next(iter(probes.values())), 1.0)
                self._budget = TimeBudget(run.config.retention.max_cost, least, (resumed or {}).get("evaluation"))

    @hookimpl
    def kis_run_record(self, run: TrainingRun) -> Mapping[str, Any]:
        """Give the options of a probe, the probes and the frequency baseline of each series, and the general split."""
        baseline = baseline_scores(by_series(self._evaluator.questions if self._evaluator else ()))
        wanted = run.config.retention
        split = wanted.general_split or (runlog.GENERAL if wanted.general_text else None)
        named = {"general_split": split} if split else {}
        options = wanted.probes.options if self._builder is None else self._builder.options
        return {"options": options, "probes": self._probes(), "frequency_baseline": baseline, **named}

    @hookimpl
    def kis_metrics(self, run: TrainingRun, records: Sequence[runlog.Record]) -> None:
        """Keep which facts were known, once the run log begins: from there on nothing refuses the run any more.

        Note the evaluation sets whose losses are reported.
        """
        self._splits |= {record.split for record in records if isinstance(record, runlog.Loss)}
        if self._known is not None and any(isinstance(record, runlog.Run) for record in records):
            keep_known(run.folder, self._known)

    @hookimpl
    def kis_step_end(self, run: TrainingRun, step: int) -> None:
        """Evaluate every series, and general loss, where an evaluation is due."""
        if step not in self._steps:
            return
        self._prepare(run, step)
        if self._evaluator is None:
            if loss := self._general_loss(run, step):
                run.session.publish(loss)
            return
        assert self._builder is not None
        evaluator = self._affordable(self._evaluator, run)
        outcomes = evaluator.answer(run.model, run.ranks)
        records: list[runlog.Retention] = []
        if outcomes.diverged:
            # Answers of NaN count as wrong. An accuracy of 0.0 in the log would read as facts that were forgotten.
            run.session.mark_diverged("logits are NaN or infinite")
        else:
            records = series_records(step, run.tokens_at(step), outcomes, _parts(run))
            if self._builder.control_kind == HELD_OUT and (difference := above_control(records)):
                records.append(difference)
            run.session.extend_records(step, outcomes, self._builder.facts_of, records)
        run.session.publish([*records, *self._general_loss(run, step)])
        run.session.publish_outcomes(step, outcomes)
        self._notify(run, evaluator.remarks)
        if step == run.steps:
            self._notify(run, leak_warnings(records))
        if self._budget:
            self._budget.end()
            if self._budget.exceeded:
                self._notify(run, [_over_budget(run)])

    @hookimpl
    def kis_run_end(self, run: TrainingRun) -> None:
        """Say where it stays unclear which loss is general loss."""
        self._notify(run, general_split_notes(run.config.retention.general_split, self._splits))

    @hookimpl
    def kis_state(self) -> Mapping[str, Any]:
        """Keep the time that was spent: a resumed run evaluates no more than the unbroken one."""
        return {"evaluation": self._budget.state()} if self._budget else {}

    def _general_loss(self, run: TrainingRun, step: int) -> list[runlog.Record]:
        if self._general is None:
            return []
        loss = self._general.loss(run, step)
        if loss is None:
            run.session.mark_diverged("general loss is NaN or infinite")
        return [] if loss is None else [loss]

    def _affordable(self, whole: Evaluator, run: TrainingRun) -> Evaluator:
        """Return the evaluator of the questions that the time budget allows now."""
        if self._budget is None:
            return whole
        before, part = self._budget.part, self._budget.begin(run.ranks)
        if part == 1:
            return whole
        if self._reduced is None or part != before:
            order = cut_order(whole.questions, run.config.seed)
            some = [question for question, place in zip(whole.questions, order, strict=True) if place < part]
            self._reduced = self._ready(some, run, [])
            fit = f"{len(some)} of {len(whole.questions)} probes fit retention.max_cost"
            self._notify(run, [f"{fit}, the same ones from now on"])
        return self._reduced or whole

    def _prepare(self, run: TrainingRun, step: int) -> None:
        """Make the questions of the phase that ``step`` lies in, if it is another one than before."""
        assert self._builder is not None
        at = step / max(run.steps, 1)
        phase = self._builder.validity.phase(at)
        if phase == self._phase:
            return
        first, self._phase, self._reduced = self._phase < 0, phase, None
        notes: list[str] = []
        questions = self._builder.questions(at, notes)
        self._evaluator = self._ready(questions, run, notes)
        # A run under way is not stopped for its probes, nor is one that infuses documents.
        if self._builder.split.knowledge.facts and questions and self._evaluator is None and first:
            found = "no sentence that fits a row"
            raise KISError(Problem("retention.probes", found, f"some of at most {run.sequence_length} tokens"))
        self._notify(run, notes)

    def _ready(self, questions: Sequence[Question], run: TrainingRun, notes: list[str]) -> Evaluator | None:
        from kis_plugin.retention.evaluator import Evaluator

        tokenizer = probe_tokenizer(run.config, run.tokenizer)
        evaluator = Evaluator(questions, tokenizer, run.sequence_length, notes, run.config.retention.batch_tokens)
        return evaluator if evaluator.questions else None

    def _probes(self) -> dict[str, int]:
        """Return the number of questions of each series."""
        questions = self._evaluator.questions if self._evaluator else ()
        return {name: len(rows) for name, rows in rows_of_series(questions).items()}

    def _notify(self, run: TrainingRun, lines: Sequence[str]) -> None:
        """Show the user the lines that were not shown before."""
        for line in lines:
            if run.rank == 0 and line not in self._notified:
                run.notify(f"kis: {line}.".replace("..", "."))
        self._notified |= set(lines)


def _parts(run: TrainingRun) -> tuple[str, ...]:
    """Return what series are broken down by; several templates a fact are only of use if one can tell them apart."""
    wanted = run.config.retention
    if wanted.by and wanted.probes.templates_per_fact > 1:
        return tuple(dict.fromkeys((*wanted.by, "template")))
    return wanted.by


def _general_text(run: TrainingRun) -> GeneralText | None:
    """Return the text whose loss is measured, if the configuration names one."""
    wanted = run.config.retention
    if wanted.general_text is None:
        return None
    from kis_plugin.retention.general_loss import GeneralText

    tokenizer = probe_tokenizer(run.config, run.tokenizer)
    return GeneralText(wanted.general_text, tokenizer, run.sequence_length, wanted.batch_tokens)


def _over_budget(run: TrainingRun) -> str:
    """Return a warning that even the smallest meaningful evaluation exceeds the time budget."""
    allowed = run.config.retention.max_cost
    return (
        f"warning: even {MIN_QUESTIONS} probes a series take more than retention.max_cost, {allowed:g} of the training "
        "time; they are evaluated nevertheless. Raise retention.every to evaluate less often"
    )
