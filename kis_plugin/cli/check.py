"""Checks a configuration and its knowledge before any run, and says what they contain: the report of ``kis check``."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kis_plugin.cli.advice import Advice, Plan, advise, information
from kis_plugin.cli.row_room import RowRoom, row_room
from kis_plugin.config.load import load_config
from kis_plugin.config.options import chosen
from kis_plugin.config.schema import Config, nearest_existing
from kis_plugin.counting.by_count import read_run_counts
from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.fact_codes import FactCodes, coded, sample
from kis_plugin.knowledge.facts import Fact, Knowledge
from kis_plugin.knowledge.sources.folders import FolderSource
from kis_plugin.knowledge.sources.read import source_for
from kis_plugin.knowledge.suspicious import suspicious_facts, suspicious_relations
from kis_plugin.retention.general_text import documents
from kis_plugin.retention.questions.baselines import baseline_scores
from kis_plugin.retention.questions.question import Question, by_series
from kis_plugin.retention.questions.question_builder import initial_questions
from kis_plugin.templates.book import TemplateBook
from kis_plugin.templates.protocols import Renderer
from kis_plugin.tokenized.infusion_split import InfusionSplit, load_split
from kis_plugin.tokenized.texts import refuse_passages_without_object
from kis_plugin.tokenized.tokenizer import TextTokenizer, render

__all__ = ["CheckReport", "RelationReport", "amount_of", "check_config"]

_SAMPLE = 1000  # facts whose sentences are measured


@dataclass(frozen=True)
class RelationReport:
    """One relation of the knowledge.

    Attributes:
        relation: Its name in the file.
        label: Its name in words.
        facts: How many facts it has.
        templates: Where its templates come from.
        trained: Its first fact by the first training template.
        held_out: The same fact by the first held-out template.
        held_out_statements: How many held-out statements there are.
        questions: How many question templates there are.
    """

    relation: str
    label: str
    facts: int
    templates: str
    trained: str
    held_out: str
    held_out_statements: int
    questions: int


@dataclass(frozen=True)
class CheckReport:
    """The report of ``kis check``.

    Attributes:
        config: The configuration file.
        knowledge: The knowledge file or folder.
        source: The source that read the knowledge.
        facts: Triples.
        passages: Documents.
        infused: Infused facts: those selected, without the controls.
        passages_infused: Passages that are infused.
        relations: Those of the facts, most facts first.
        templates_fingerprint: SHA-256 over the templates in use.
        amount: The infusion amount, as ``{"frequency": 64.0}``.
        control: Facts held back from infusion.
        probes: Questions at each evaluation, by series.
        frequency_baseline: Accuracy of answering with the most infused object, by series.
        warnings: Remarks on the knowledge and the questions, one line each.
        room: How many rows of a data set have room for a whole statement; None where none was given.
        advice: What will probably teach nothing, cost much or show little, and what to change.
    """

    config: str
    knowledge: str
    source: str
    facts: int
    passages: int
    infused: int
    passages_infused: int
    relations: tuple[RelationReport, ...]
    templates_fingerprint: str
    amount: Mapping[str, float]
    control: int
    probes: Mapping[str, int]
    frequency_baseline: Mapping[str, float]
    warnings: tuple[str, ...]
    advice: tuple[Advice, ...] = ()
    room: RowRoom | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {"status": "ok", **asdict(self)}


def check_config(
    path: Path,
    params: int | None = None,
    tokens: int | None = None,
    data: Path | None = None,
    tokenizer: TextTokenizer | None = None,
) -> CheckReport:
    """Read a configuration, its knowledge and its templates, and make the questions, as a run would.

    Args:
        path: The configuration.
        params: Parameters of the model, for the advice.
        tokens: Tokens of the run, for the advice.
        data: A tokenized data set whose rows are looked at.
        tokenizer: The run's; needed with ``data``.

    Raises:
        KISError: All problems of the first of these that has any.
    """
    config = load_config(path)
    if not os.access(nearest_existing(config.run_log), os.W_OK | os.X_OK):
        found = f"{nearest_existing(config.run_log)}: a folder that you may not write to"
        raise KISError(Problem(f"{path} run_log", found, "a folder where the run log can be written"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        split = load_split(config)
        refuse_passages_without_object(config, split)
    notes = [str(warning.message) for warning in caught]
    notes += knowledge_notes(split.knowledge, config)
    questions = initial_questions(config, split, notes)
    if config.retention.general_text is not None:
        next(documents(config.retention.general_text))
    read_run_counts(config, split)
    knowledge, book = split.knowledge, split.book
    renderer: Renderer = chosen("renderers", config.infusion.rendering, f"{path} infusion.rendering")
    codes = coded(knowledge.facts)
    _, first, count = np.unique(codes.relation, return_index=True, return_counts=True)
    order = np.lexsort((first, -count)).tolist()  # most facts first, then as in the file
    return CheckReport(
        config=str(path),
        knowledge=str(config.knowledge),
        source=source_for(config.knowledge, config.columns.mapping).name,
        facts=len(knowledge.facts),
        passages=len(knowledge.passages),
        infused=len(split.infused),
        passages_infused=len(split.passages_infused),
        relations=tuple(_relation(book, renderer, knowledge.facts[first[place]], int(count[place])) for place in order),
        templates_fingerprint=book.fingerprint(codes.relations),
        amount=amount_of(config),
        control=len(split.control),
        probes=dict(Counter(question.series for question in questions)),
        frequency_baseline=baseline_scores(by_series(questions)),
        warnings=tuple(note.removeprefix("warning: ") for note in notes),
        advice=advise(_plan(config, split, renderer, questions, params, tokens)),
        room=None if data is None or tokenizer is None else row_room(config, split, data, tokenizer),
    )


def _plan(
    config: Config,
    split: InfusionSplit,
    renderer: Renderer,
    questions: Sequence[Question],
    params: int | None,
    tokens: int | None,
) -> Plan:
    """Return what the advice is about."""
    codes = coded(split.knowledge.facts).at(split.infused)
    most = config.infusion.templates_used
    count = {
        relation: renderer.template_count(relation, split.book)
        for relation in (codes.relations[number] for number in np.unique(codes.relation).tolist())
    }
    some = split.infused[sample(len(split.infused), _SAMPLE, config.seed)].tolist() if len(split.infused) else []
    texts = [renderer.render(split.knowledge.facts[index], 0, split.book).text for index in some]
    return Plan(
        config=config,
        templates={relation: number if most is None else min(number, most) for relation, number in count.items()},
        bits=information(codes),
        characters=sum(map(len, texts)) / max(len(texts), 1),
        infused=len(split.infused),
        questions=questions,
        params=params,
        tokens=tokens,
        misread=_misread(split, codes),
    )


def _misread(split: InfusionSplit, codes: FactCodes) -> dict[str, str]:
    """Return a sentence of each relation without templates of its own whose name will probably read badly."""
    _, first = np.unique(codes.relation, return_index=True)
    facts = (split.knowledge.facts[split.infused[place]] for place in first.tolist())
    book = split.book
    return {
        fact.relation: render(book.of(fact.relation).trained[0], fact) for fact in facts if book.misread(fact.relation)
    }


def knowledge_notes(knowledge: Knowledge, config: Config) -> list[str]:
    """Return remarks on knowledge that can be read but looks wrong: suspicious names, files that are skipped."""
    notes = [*suspicious_facts(knowledge.facts), *suspicious_relations(knowledge.relations)]
    source = source_for(config.knowledge, config.columns.mapping)
    if isinstance(source, FolderSource):
        notes += [f"{file} is not read: {reason}" for file, reason in source.unread(config.knowledge).items()]
    return notes


def _relation(book: TemplateBook, renderer: Renderer, fact: Fact, count: int) -> RelationReport:
    found = book.of(fact.relation)
    return RelationReport(
        relation=fact.relation,
        label=book.label(fact.relation),
        facts=count,
        templates=book.origin(fact.relation),
        trained=renderer.render(fact, 0, book).text,
        held_out=render(found.held_out[0], fact),
        held_out_statements=len(found.held_out),
        questions=len(found.questions),
    )


def amount_of(config: Config) -> dict[str, float]:
    """Return the infusion amount that the configuration sets, by its key."""
    infusion = config.infusion
    amounts = {"frequency": infusion.frequency, "share": infusion.share, "tokens": infusion.tokens}
    return {name: amount for name, amount in amounts.items() if amount is not None}
