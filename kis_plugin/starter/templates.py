"""The template file of a new project: sentences for every relation of its facts, to be replaced by better ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from kis_plugin.knowledge.facts import Knowledge
from kis_plugin.knowledge.template_rules import distinct
from kis_plugin.synthetic.catalog import DOMAINS
from kis_plugin.synthetic.domains import read_domain
from kis_plugin.templates.book import TemplateBook
from kis_plugin.templates.load import load_templates
from kis_plugin.templates.relation_names import reading_of

__all__ = ["template_file"]

_HEAD = """\
# The sentences that state a fact. The first half of the statements of a relation is trained on, the other half is held
# out for probes. Each has {subject} and {object} once. The more there are and the more they differ, the more is
# retained: put your own in place of those that read badly. kis check kis.yaml shows how they read.
"""
_ANY = (
    "The {relation} of {subject} is {object}.",
    "{subject} has the {relation} {object}.",
    "As {relation}, {subject} has {object}.",
    "When it comes to {relation}, {subject} has {object}.",
    "For {subject}, the {relation} is {object}.",
    "Under {relation}, the entry for {subject} says {object}.",
    "{object} is the {relation} of {subject}.",
    "In the records, the {relation} of {subject} is given as {object}.",
    "Ask for the {relation} of {subject}, and the answer is {object}.",
    "What {subject} has for {relation} is {object}.",
    "{subject} is listed with the {relation} {object}.",
    "The {relation} that belongs to {subject} is {object}.",
    "Everyone agrees that the {relation} of {subject} is {object}.",
    "The entry on {subject} names {object} as the {relation}.",
    "With regard to {relation}, {subject} stands for {object}.",
    "Look up {subject}, and you find {object} as the {relation}.",
    "According to the sources, {subject} has {object} as {relation}.",
    "It is {object} that is the {relation} of {subject}.",
    "For the {relation} of {subject}, people name {object}.",
    "The {relation} given for {subject} is {object}.",
)
"""Sentences for a relation whose name is a noun; the first half is trained on."""
_ANY_PREDICATE = (
    "{subject} {relation} {object}.",
    "Everyone knows that {subject} {relation} {object}.",
    "It is known that {subject} {relation} {object}.",
    "The records say that {subject} {relation} {object}.",
    "As the sources have it, {subject} {relation} {object}.",
    "It is {object} that {subject} {relation}.",
    "Nobody doubts that {subject} {relation} {object}.",
    "We learn that {subject} {relation} {object}.",
    "The answer is {object}: that is what {subject} {relation}.",
    "According to the entry, {subject} {relation} {object}.",
    "In short, {subject} {relation} {object}.",
    "What {subject} {relation} is {object}.",
    "One reads that {subject} {relation} {object}.",
    "It is a fact that {subject} {relation} {object}.",
    "The books agree that {subject} {relation} {object}.",
    "As far as is known, {subject} {relation} {object}.",
    "{object} is what {subject} {relation}.",
    "It was noted that {subject} {relation} {object}.",
    "There is no question that {subject} {relation} {object}.",
    "Whoever looks it up finds that {subject} {relation} {object}.",
)
"""Sentences for a relation whose name reads as a predicate, such as ``capital of``; the first half is trained on."""
_QUESTIONS = (
    "What is the {relation} of {subject}? {object}",
    "Which {relation} does {subject} have? {object}",
)


def template_file(knowledge: Knowledge) -> str:
    """Return a template file with every relation of some facts.

    Relations that ``kis synth`` knows get its 40 sentences. Those that have sentences of their own, in KIS or with the
    facts, keep them; sentences for any relation are added to both halves. All others get the latter alone.
    """
    known = {found.relation: found.templates for name in DOMAINS for found in read_domain(name).attributes}
    book = load_templates(None, knowledge)
    entries: dict[str, Any] = {
        relation: known.get(relation) or _entry(relation, book) for relation in knowledge.relations
    }
    return _HEAD + yaml.safe_dump(entries, sort_keys=False, width=1000, allow_unicode=True)


def _entry(relation: str, book: TemplateBook) -> Mapping[str, Any]:
    found, label = book.of(relation), book.label(relation)
    reading = reading_of(label)
    sentences = _ANY_PREDICATE if reading.predicate else _ANY
    generic = book.origin(relation).endswith(", generic")
    half = len(sentences) // 2
    trained = [] if generic else list(found.trained)
    held_out = [] if generic else list(found.held_out)
    extra = [text.replace("{relation}", reading.words) for text in sentences]
    # Both halves are made equally long, since a file is split in the middle.
    trained, held_out = trained + extra[:half], held_out + extra[half:]
    statements = list(_halves(trained, held_out))
    # Those of a predicate are the built-in ones: "A is the capital of what?"
    noun = generic and not reading.predicate
    questions = [text.replace("{relation}", reading.words) for text in _QUESTIONS] if noun else found.questions
    entry: dict[str, Any] = {"label": label}
    if domains := book.domains_of(relation):
        entry["domain"] = list(domains)
    return entry | {"statements": statements, "questions": list(distinct(questions))}


def _halves(trained: Sequence[str], held_out: Sequence[str]) -> Iterator[str]:
    """Yield as many of each as there are of both, without a sentence that is in both."""
    first = distinct(trained)
    both = distinct([*first, *held_out])
    second = both[len(first) :]
    count = min(len(first), len(second))
    yield from first[:count]
    yield from second[:count]
