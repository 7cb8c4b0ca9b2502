"""How a fact is worded: in sentences, or as the raw triple."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kis_plugin.contracts import Rendered
from kis_plugin.knowledge import Fact

if TYPE_CHECKING:
    from kis_plugin.template_book import TemplateBook

__all__ = ["Sentences", "Triples"]


class Sentences:
    """The training sentences of the relation's templates."""

    name = "sentences"

    def wordings(self, relation: str, book: TemplateBook) -> int:
        """Return how many sentences may be trained on."""
        return len(book.of(relation).trained)

    def render(self, fact: Fact, wording: int, book: TemplateBook) -> Rendered:
        """Fill a sentence's ``{subject}`` and ``{object}``; braces inside names stay as they are."""
        head, tail = book.of(fact.relation).trained[wording].split("{object}")
        head = head.replace("{subject}", fact.subject)
        first = len(head)
        text = head + fact.object + tail.replace("{subject}", fact.subject)
        return Rendered(text, (first, first + len(fact.object)))


class Triples:
    """Subject, relation in words, object, parted by commas, as SKILL trains on (Moiseev et al. 2022, 2205.08184)."""

    name = "triples"

    def wordings(self, relation: str, book: TemplateBook) -> int:
        """Return 1."""
        return 1

    def render(self, fact: Fact, wording: int, book: TemplateBook) -> Rendered:
        """Join the parts."""
        head = f"{fact.subject}, {book.label(fact.relation)}, "
        return Rendered(head + fact.object, (len(head), len(head) + len(fact.object)))
