"""Retention as a plugin: asks the model about infused facts and controls while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest

from kis_plugin import runlog
from kis_plugin.config import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.hookspecs import hookimpl
from kis_plugin.material import Material, load_material
from kis_plugin.options import OptionSets, option_sets
from kis_plugin.plugins import find
from kis_plugin.probes import Question, QuestionMaker, passage_facts, passage_templates
from kis_plugin.run import TrainingRun
from kis_plugin.seeded import IntArray, mix, permutation

if TYPE_CHECKING:  # scoring imports torch
    from kis_plugin.scoring import PreparedQuestions, Scores

__all__ = ["CONTROL", "LEAK", "SEEN", "Retention", "evaluation_steps", "questions_of"]

HELD_OUT = "held_out"
SEEN = "seen"
CONTROL = "control"
LEAK = 0.001
"""Controls above chance with a smaller binomial probability than this are reported."""


class Retention:
    """One run's retention: asks the same questions at every evaluation, on every rank alike."""

    def __init__(self, run: TrainingRun) -> None:
        self._steps = evaluation_steps(run.config.retention.every, run.steps, run.start_step)
        self._series: dict[str, IntArray] = {}  # rows of the scores that belong to each series
        self._prepared: PreparedQuestions | None = None

    @hookimpl
    def kis_run_start(self, run: TrainingRun) -> None:
        """Make and tokenize the questions.

        Raises:
            KISError: There are facts, and nothing can be asked of them.
        """
        notes: list[str] = []
        material = load_material(run.config)
        questions, sets = questions_of(run.config, material, notes)
        if questions:
            questions, self._prepared = _fitting(questions, sets, run, notes)
        if not questions and material.knowledge.facts:
            found = "no sentence that fits a row"
            raise KISError(Problem("retention.probes", found, f"some of at most {run.block} tokens"))
        names = list(dict.fromkeys(question.series for question in questions))
        series = np.array([names.index(question.series) for question in questions], dtype=np.int64)
        self._series = {name: np.flatnonzero(series == number) for number, name in enumerate(names)}
        counts = ", ".join(f"{len(rows)} {name}" for name, rows in self._series.items())
        options = run.config.retention.probes.options
        asking = f"asking {counts} probes of {options} options at {len(self._steps)} points of the run"
        _narrate(run, [*notes, asking] if questions else notes)

    @hookimpl
    def kis_run_record(self, run: TrainingRun) -> Mapping[str, Any]:
        """Say how many options a probe has and how many probes each series."""
        probes = {name: len(rows) for name, rows in self._series.items()}
        return {"options": run.config.retention.probes.options, "probes": probes}

    @hookimpl
    def kis_step_end(self, run: TrainingRun, step: int) -> None:
        """Evaluate every series where an evaluation is due."""
        if step not in self._steps or self._prepared is None:
            return
        start = perf_counter()
        with run.model.evaluating():
            scores = self._prepared.score(run.model, block=run.block)
        seconds = perf_counter() - start
        records = [
            _record(run, step, name, scores, rows, self._prepared.counts[rows], seconds)
            for name, rows in self._series.items()
        ]
        run.publish(records)
        if step == run.steps:
            _narrate(run, _leaks(records))


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


def questions_of(config: Config, material: Material, notes: list[str]) -> tuple[list[Question], Sequence[OptionSets]]:
    """Make the questions of all series.

    Args:
        config: What to ask.
        material: Facts or passages, and which of them are controls.
        notes: Takes what the user should know of, one line each.

    Returns:
        The questions and the option sets they were made from; no fact is in two sets.

    Raises:
        KISError: No set of facts can be asked, or an unknown probe kind.
    """
    probes = config.retention.probes
    where = f"{config.path or 'config'} retention.probes"
    facts = material.knowledge.facts
    kinds = [find("probes", name, f"{where}.templates") for name in dict.fromkeys((*probes.templates, SEEN))]
    if not facts:
        return _passage_questions(config, material, kinds[-1], notes)
    if HELD_OUT not in probes.templates:
        notes.append(
            f"warning: {where}.templates has no {HELD_OUT}: the run measures no retention, and kis-predict will leave "
            "it out"
        )
    infused = option_sets(facts, material.infused, probes.options, probes.facts, mix(config.seed, 1))
    control = option_sets(facts, material.control, probes.options, len(material.control), mix(config.seed, 2))
    if not infused.sets:
        reasons = "; ".join(f"{relation}: {reason}" for relation, reason in list(infused.left_out.items())[:3])
        expected = f"{probes.options} facts of one relation to ask together"
        raise KISError(Problem(f"{where}.options", reasons or f"facts: {probes.facts}", expected, "Ask fewer options."))
    notes += _left_out("infused", infused) + _left_out("control", control)
    questions: list[Question] = []
    for kind, series, sets in [*((kind, kind.name, infused) for kind in kinds), (kinds[0], CONTROL, control)]:
        maker = QuestionMaker(facts, sets.sets, material.book.of, config.seed)
        asked = [replace(question, series=series) for question in kind.questions(maker)]
        possible = sum(len(chosen.facts) for chosen in sets.sets)
        if len(asked) < possible:
            notes.append(
                f"warning: series {series}: {possible - len(asked)} of {possible} facts have no sentence for it"
            )
        questions += asked
    return questions, (infused, control)


def _passage_questions(
    config: Config, material: Material, seen: Any, notes: list[str]
) -> tuple[list[Question], Sequence[OptionSets]]:
    """Ask how passages go on; documents hold no other wording to ask by."""
    probes = config.retention.probes
    passages = material.passages
    drawn = np.sort(permutation(len(passages), config.seed, 3)[: 2 * probes.facts]).tolist()
    facts = passage_facts([passages[index] for index in drawn])
    sets = option_sets(facts, np.arange(len(facts)), probes.options, probes.facts, mix(config.seed, 1))
    if not sets.sets:
        notes.append(
            f"warning: nothing is asked: {len(facts)} passages have 20 words or more, and {probes.options} that go on "
            "differently are needed. To measure retention give longer passages, or facts as triples."
        )
        return [], ()
    maker = QuestionMaker(facts, sets.sets, passage_templates, config.seed)
    notes.append(
        "warning: documents are asked by their own wording (series seen), which shows no collapse. Retention proper "
        "needs facts: give triples."
    )
    return [replace(question, series=SEEN) for question in seen.questions(maker)], (sets,)


def _fitting(
    questions: Sequence[Question], sets: Sequence[OptionSets], run: TrainingRun, notes: list[str]
) -> tuple[list[Question], PreparedQuestions | None]:
    """Leave out sets with a sentence that is longer than a row, and tokenize the rest."""
    from kis_plugin.scoring import prepare

    prepared = prepare(questions, run.tokenizer)
    long = {question.fact for question, length in zip(questions, prepared.lengths, strict=True) if length > run.block}
    if not long:
        return list(questions), prepared
    mates = {fact for some in sets for chosen in some.sets if long & set(chosen.facts) for fact in chosen.facts} | long
    kept = [question for question in questions if question.fact not in mates]
    notes.append(f"warning: {len(mates)} facts are not asked: sentences of their option sets are longer than a row")
    return kept, prepare(kept, run.tokenizer) if kept else None


def _record(
    run: TrainingRun, step: int, series: str, scores: Scores, rows: IntArray, options: IntArray, seconds: float
) -> runlog.Retention:
    correct = int(scores.correct[rows].sum())
    low, high = binomtest(correct, len(rows)).proportion_ci(0.95, method="wilson")
    margin = float(scores.margin[rows].mean())
    return runlog.Retention(
        step=step,
        tokens=run.tokens_at(step),
        probe=series,
        accuracy=correct / len(rows),
        n=len(rows),
        correct=correct,
        margin=margin if np.isfinite(margin) else None,  # a model that diverged; its answers count as wrong
        seconds=seconds,
        extra={"chance": float((1 / options).mean()), "low": float(low), "high": float(high)},
    )


def _leaks(records: Sequence[runlog.Retention]) -> list[str]:
    """Say which controls the model knows better than it could."""
    return [
        f"warning: control facts are answered at {record.accuracy:.3f}, above chance ({record.extra['chance']:.3f}), "
        "though none was infused: the base data tells them, their names give them away, or infused text holds them. "
        "Retention is inflated alike."
        for record in records
        if record.probe == CONTROL
        and binomtest(record.correct or 0, record.n, record.extra["chance"], alternative="greater").pvalue < LEAK
    ]


def _left_out(kind: str, sets: OptionSets) -> list[str]:
    """Say which relations are not asked."""
    if not sets.left_out:
        return []
    some = "; ".join(f"{relation}: {reason}" for relation, reason in list(sets.left_out.items())[:5])
    more = f"; and {len(sets.left_out) - 5} more" if len(sets.left_out) > 5 else ""
    return [f"{len(sets.left_out)} relations of {kind} facts are not asked ({some}{more})"]


def _narrate(run: TrainingRun, lines: Sequence[str]) -> None:
    if run.rank == 0:
        for line in lines:
            run.narrate(f"kis: {line}.".replace("..", "."))
