"""Checks of what plugins register, by the protocols that KIS relies on; each raises AssertionError."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kis_plugin.infusion.protocols import Schedule
from kis_plugin.knowledge.facts import Fact, Knowledge, Passage
from kis_plugin.knowledge.protocols import Selection, Source
from kis_plugin.retention.protocols import ProbeKind
from kis_plugin.retention.questions.distractors import option_sets
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.templates.book import TemplateBook
from kis_plugin.templates.load import load_templates
from kis_plugin.templates.protocols import Renderer, TemplateSet

__all__ = [
    "check_probe_kind", "check_renderer", "check_schedule", "check_selection", "check_source", "check_template_set",
]  # fmt: skip

PARTS = (1, 2, 7, 100, 4096)
"""Numbers of parts that a window is divided into."""


def check_schedule(schedule: Schedule) -> None:
    """Check that a schedule gives every part of any window a whole weight, and some part one above 0."""
    _named(schedule, Schedule)
    for parts in PARTS:
        weights = list(schedule.weights(parts))
        where = f"schedule {schedule.name}: weights({parts})"
        assert len(weights) == parts, f"{where} gives {len(weights)} numbers"
        assert all(weight == int(weight) and weight >= 0 for weight in weights), f"{where} gives {weights[:9]} ..."
        assert any(weights), f"{where} gives zeros alone: nothing would be infused"
        assert weights == list(schedule.weights(parts)), f"{where} differs from call to call"
    pickle.dumps(schedule)


def check_source(source: Source, path: Path, other: Path | None = None) -> Knowledge:
    """Check that a source claims and reads a file of its kind; return what it read.

    Args:
        source: The source.
        path: A file or folder of its kind, with at least one fact or passage.
        other: One that is not of its kind.
    """
    _named(source, Source)
    where = f"source {source.name}"
    assert source.claims(path) is True, f"{where} does not claim {path}"
    assert other is None or source.claims(other) is False, f"{where} claims {other} too"
    knowledge = source.read(path)
    assert isinstance(knowledge, Knowledge), f"{where} reads a {type(knowledge).__name__}, no Knowledge"
    assert len(knowledge), f"{where} finds nothing in {path}"
    entries: list[Fact | Passage] = [*knowledge.facts, *knowledge.passages]
    ids = [entry.id for entry in entries]
    assert len(set(ids)) == len(ids), f"{where}: ids that two entries share"
    again = source.read(path)
    assert [*again.facts, *again.passages] == entries, f"{where} reads {path} otherwise a second time"
    stream = getattr(source, "stream", None)
    assert stream is None or list(stream(path)) == entries, f"{where}: stream() yields other entries than read()"
    return knowledge


def check_renderer(renderer: Renderer, facts: Sequence[Fact] = (), book: TemplateBook | None = None) -> None:
    """Check that a renderer names each fact's subject and says where its object stands, in each of its templates.

    Args:
        renderer: The renderer.
        facts: By default two with odd names.
        book: The templates; by default the built-in ones.
    """
    _named(renderer, Renderer)
    book = book or load_templates(None, Knowledge())
    for fact in facts or (Fact("Zoë {Q}", "P19", "St. Ives (Cornwall)"), Fact("A", "capital of", "B")):
        count = renderer.template_count(fact.relation, book)
        where = f"renderer {renderer.name}: {fact}"
        assert isinstance(count, int), f"{where}: {count!r} templates"
        assert count >= 1, f"{where} has no template"
        for number in range(count):
            rendered = renderer.render(fact, number, book)
            text, (first, end) = rendered.text, rendered.object
            assert text[first:end] == fact.object, f"{where}: {text[first:end]!r} stands where its object should"
            assert fact.subject in text, f"{where}: its subject is not in {text!r}"
            assert renderer.render(fact, number, book).text == text, f"{where} differs from call to call"
    pickle.dumps(renderer)


def check_selection(selection: Selection, entries: Sequence[Fact] | Sequence[Passage]) -> None:
    """Check that a selection gives places in ``entries``, sorted, each once, the same for the same seed."""
    _named(selection, Selection)
    where = f"selection {selection.name}"
    for seed in (0, 1):
        places = np.asarray(selection.select(entries, seed))
        assert places.ndim == 1, f"{where} gives an array of shape {places.shape}"
        assert places.dtype.kind in "iu", f"{where} gives {places.dtype}, no places"
        assert (np.diff(places) > 0).all(), f"{where} gives places that are not sorted, or one twice"
        assert not len(places) or 0 <= places[0] <= places[-1] < len(entries), (
            f"{where} gives places beyond the entries"
        )
        again = selection.select(entries, seed)
        assert np.array_equal(places, again), f"{where} selects others for the same seed"


def check_template_set(templates: TemplateSet) -> None:
    """Check that a template set has sentences with a subject and an object once each, and that a book takes them."""
    _named(templates, TemplateSet)
    found = templates.templates()
    assert found, f"template set {templates.name} is empty"
    for relation, of_relation in found.items():
        for text in (*of_relation.statements, *of_relation.questions):
            where = f"template set {templates.name}, {relation}: {text!r}"
            assert text.count("{subject}") == 1, f"{where} needs {{subject}} once"
            assert text.count("{object}") == 1, f"{where} needs {{object}} once"


def check_probe_kind(kind: ProbeKind, book: TemplateBook | None = None, options: int = 4) -> None:
    """Check that the questions of a probe kind have one right answer among their options, and are reproducible.

    Args:
        kind: The probe kind.
        book: The templates; by default the built-in ones.
        options: Answer options of a question.
    """
    _named(kind, ProbeKind)
    book = book or load_templates(None, Knowledge())
    facts = [Fact(f"Person{n}", "P19", f"Town{n % 8}") for n in range(48)]
    sets = option_sets(facts, np.arange(len(facts)), options, 1000, 0).sets

    def questions() -> list[Question]:
        return list(kind.questions(QuestionMaker(facts, sets, book.of, 0)))

    found = questions()
    assert found, f"probe kind {kind.name} has no questions on {len(facts)} facts"
    assert repr(found) == repr(questions()), f"probe kind {kind.name} makes other questions the second time"
    for question in found:
        where = f"probe kind {kind.name}: {question}"
        assert len(set(question.options)) == len(question.options), f"{where} has one option twice"
        assert question.accepted or 0 <= question.answer < len(question.options), f"{where} has no right option"
        assert 0 <= question.fact < len(facts), f"{where} is about no fact that it was given"


def _named(plugin: object, protocol: type) -> None:
    """Check that a plugin has all members of its protocol, and a name."""
    assert isinstance(plugin, protocol), f"{plugin!r} lacks a member of {protocol.__name__}: see {protocol.__doc__}"
    name = getattr(plugin, "name", None)
    assert isinstance(name, str), f"{type(plugin).__name__} has the name {name!r}, no text"
    assert name.strip() == name != "", f"{type(plugin).__name__} has the name {name!r}"
