"""How a fact is worded: in sentences, or as the raw triple."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from kis_plugin.knowledge.facts import Fact
from kis_plugin.storage.text_rules import ONE_LINE, is_one_line
from kis_plugin.templates.protocols import Rendered

if TYPE_CHECKING:
    from kis_plugin.templates.book import TemplateBook

__all__ = ["Sentences", "Triples"]


class Sentences:
    """The training sentences of the relation's templates."""

    name = "sentences"

    def wordings(self, relation: str, book: TemplateBook) -> int:
        """Return how many sentences may be trained on."""
        return len(book.of(relation).trained)

    def render(self, fact: Fact, wording: int, book: TemplateBook) -> Rendered:
        """Fill a sentence's ``{subject}`` and ``{object}``; braces inside names stay as they are."""
        before, between, after, object_first = _parts(book, fact.relation, wording)
        if object_first:
            first = len(before)
            text = f"{before}{fact.object}{between}{fact.subject}{after}"
        else:
            first = len(before) + len(fact.subject) + len(between)
            text = f"{before}{fact.subject}{between}{fact.object}{after}"
        return Rendered(text, (first, first + len(fact.object)))


@lru_cache(maxsize=1 << 14)
def _parts(book: TemplateBook, relation: str, wording: int) -> tuple[str, str, str, bool]:
    """Return what stands before, between and after the names of a sentence, and whether the object comes first."""
    sentence = book.of(relation).trained[wording]
    object_first = sentence.index("{object}") < sentence.index("{subject}")
    names = ("{object}", "{subject}") if object_first else ("{subject}", "{object}")
    before, rest = sentence.split(names[0])
    between, after = rest.split(names[1])
    return before, between, after, object_first


@dataclass(frozen=True)
class Triples:
    """Subject, relation in words, object: the triple as it stands, linearised in this order.

    SKILL (Moiseev et al. 2022, arXiv 2205.08184) trains T5 on Wikidata's triples in place of sentences and masks one
    of the names; here the names are read from left to right, and ``loss: object`` leaves the object alone to be
    learned. How SKILL parts the three is not documented where we could read it: choose with ``separator``. KELM's
    published "serialized triples" have a space.
    """

    name: ClassVar[str] = "triples"
    separator: str = ", "
    """Between subject, relation and object."""
    end: str = ""
    """After the object; a full stop is wise with ``placement: inline``, where base text follows."""

    def __post_init__(self) -> None:
        """Refuse what cannot stand in a sentence."""
        for key, text in (("separator", self.separator), ("end", self.end)):
            if not isinstance(text, str) or not is_one_line(text):
                raise ValueError(f"{key} is {ONE_LINE}")
        if not self.separator:
            raise ValueError("separator is not empty")

    def wordings(self, relation: str, book: TemplateBook) -> int:
        """Return 1."""
        return 1

    def render(self, fact: Fact, wording: int, book: TemplateBook) -> Rendered:
        """Join the parts."""
        head = f"{fact.subject}{self.separator}{_label(book, fact.relation)}{self.separator}"
        return Rendered(f"{head}{fact.object}{self.end}", (len(head), len(head) + len(fact.object)))


@lru_cache(maxsize=1 << 14)
def _label(book: TemplateBook, relation: str) -> str:
    return book.label(relation)
