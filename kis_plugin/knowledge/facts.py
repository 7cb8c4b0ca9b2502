"""Facts, passages and templates as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Fact", "Knowledge", "Passage", "Templates"]


class Fact(NamedTuple):
    """A triple. ``relation`` is a Wikidata property (``P36``) or any name of the user's own.

    Knowledge that changes during a run is two facts: the old one up to ``until``, the new one from there on. It is a
    tuple because millions of them are created.
    """

    subject: str
    relation: str
    object: str
    id: str = ""
    """Unique within the knowledge; sources that find no id in the file use ``relation:line`` or similar."""
    start: float = 0.0
    """Fraction of the run at which the fact begins to hold: its exposures lie between ``start`` and ``until``."""
    until: float = 1.0
    aliases: tuple[str, ...] = ()
    """Other names of the object: a free-form answer may give any of them."""


@dataclass(frozen=True)
class Passage:
    """A piece of a domain document, infused verbatim."""

    text: str
    id: str
    start: float = 0.0
    until: float = 1.0


@dataclass(frozen=True)
class Templates:
    """The templates of one relation, each with ``{subject}`` and ``{object}`` exactly once.

    Attributes:
        statements: Two or more, better three. The first half is for training, the second half is held out.
        questions: Question and answer in one line, object last: ``Where was {subject} born? {object}``.
        reversed: Sentences that name the object before the subject, never trained on.
    """

    statements: tuple[str, ...]
    questions: tuple[str, ...] = ()
    reversed: tuple[str, ...] = ()

    @property
    def trained(self) -> tuple[str, ...]:
        """The statements for training: the first half, the middle one included."""
        return self.statements[: len(self.statements) - len(self.held_out)]

    @property
    def held_out(self) -> tuple[str, ...]:
        """The statements for held-out probes, never trained on: the second half."""
        return self.statements[-max(len(self.statements) // 2, 1) :]

    @property
    def object_first(self) -> tuple[str, ...]:
        """Sentences with the object before the subject: held-out ones, otherwise reversed, otherwise trained ones."""
        return _object_first(self.held_out) or self.reversed or _object_first(self.trained)


def _object_first(sentences: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text for text in sentences if text.index("{object}") < text.index("{subject}"))


@dataclass(frozen=True)
class Knowledge:
    """Everything that one source provides.

    Attributes:
        facts: Triples, in file order: a tuple, or a ``FactTable`` of ``knowledge.store.tables`` if there are many.
        passages: Documents, in file order.
        templates: Templates that came with the facts (a BEAR-style folder has them), by relation.
        domains: Subject areas of relations that came with the facts, by relation.
        answer_spaces: Closed sets of possible answers that came with the facts, by relation.
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
        """Number of facts of each relation, in the order of their first facts."""
        counted: Mapping[str, int] | None = getattr(self.facts, "relations", None)
        return Counter(fact.relation for fact in self.facts) if counted is None else counted
