"""What is to be infused: facts and passages, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Fact", "Knowledge", "Passage", "Templates"]


class Fact(NamedTuple):
    """A triple. ``relation`` is a Wikidata property (``P36``) or any name of the user's own.

    Knowledge that changes is two facts: the old one up to ``until``, the new one from there on. A tuple, since millions
    of them are made.
    """

    subject: str
    relation: str
    object: str
    id: str = ""
    """Unique in its knowledge; sources that find none in the file use ``relation:line`` or the like."""
    start: float = 0.0
    """Fraction of the run from which on it holds: all its exposures lie between ``start`` and ``until``."""
    until: float = 1.0
    aliases: tuple[str, ...] = ()
    """Other names of the object: an answer in words of the model's own may give any of them."""


@dataclass(frozen=True)
class Passage:
    """A piece of a domain document, infused as it is."""

    text: str
    id: str
    start: float = 0.0
    until: float = 1.0


@dataclass(frozen=True)
class Templates:
    """The sentences of one relation, each with ``{subject}`` and ``{object}`` exactly once.

    Attributes:
        statements: Two or more, three where possible. The first half may be trained on, the second never is.
        questions: Question and answer in one line, the object last: ``Where was {subject} born? {object}``.
        reversed: Sentences that tell the object before the subject, never trained on.
    """

    statements: tuple[str, ...]
    questions: tuple[str, ...] = ()
    reversed: tuple[str, ...] = ()

    @property
    def trained(self) -> tuple[str, ...]:
        """The statements that facts may be told by in training: the first half, the middle one included."""
        return self.statements[: len(self.statements) - len(self.held_out)]

    @property
    def held_out(self) -> tuple[str, ...]:
        """The statements that are only ever asked by: the second half."""
        return self.statements[-max(len(self.statements) // 2, 1) :]

    @property
    def asked_back(self) -> tuple[str, ...]:
        """Sentences that tell the object and ask for the subject: held-out ones, else reversed, else trained ones."""
        return _object_first(self.held_out) or self.reversed or _object_first(self.trained)


def _object_first(sentences: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text for text in sentences if text.index("{object}") < text.index("{subject}"))


@dataclass(frozen=True)
class Knowledge:
    """All that one source gave.

    Attributes:
        facts: Triples, in file order: a tuple, or a ``FactTable`` of ``knowledge.store.tables`` where they are many.
        passages: Documents, in file order.
        templates: Templates that came with the facts (a BEAR-style folder has them), by relation.
        domains: What relations are about, by relation, where it came with the facts.
        answer_spaces: The closed answer spaces that came with them, by relation.
    """

    facts: Sequence[Fact] = ()
    passages: Sequence[Passage] = ()
    templates: Mapping[str, Templates] = field(default_factory=dict)
    domains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    answer_spaces: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of facts, passages included."""
        return len(self.facts) + len(self.passages)

    @property
    def relations(self) -> Mapping[str, int]:
        """How many facts each relation has, in the order of their first facts."""
        counted: Mapping[str, int] | None = getattr(self.facts, "relations", None)
        return Counter(fact.relation for fact in self.facts) if counted is None else counted
