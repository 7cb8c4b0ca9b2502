"""Turns facts into text: sentences from templates, or the raw triple."""

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
    """Sentences from the training templates of the relation."""

    name = "sentences"

    def template_count(self, relation: str, book: TemplateBook) -> int:
        """Return the number of training templates."""
        return len(book.of(relation).trained)

    def render(self, fact: Fact, template: int, book: TemplateBook) -> Rendered:
        """Replace ``{subject}`` and ``{object}`` of a template; braces inside names are kept."""
        before, between, after, object_first = _parts(book, fact.relation, template)
        if object_first:
            first = len(before)
            text = f"{before}{fact.object}{between}{fact.subject}{after}"
        else:
            first = len(before) + len(fact.subject) + len(between)
            text = f"{before}{fact.subject}{between}{fact.object}{after}"
        return Rendered(text, (first, first + len(fact.object)))


@lru_cache(maxsize=1 << 14)
def _parts(book: TemplateBook, relation: str, template: int) -> tuple[str, str, str, bool]:
    """Return the text before, between and after the two names, and whether the object comes first."""
    sentence = book.of(relation).trained[template]
    object_first = sentence.index("{object}") < sentence.index("{subject}")
    names = ("{object}", "{subject}") if object_first else ("{subject}", "{object}")
    before, rest = sentence.split(names[0])
    between, after = rest.split(names[1])
    return before, between, after, object_first


@dataclass(frozen=True)
class Triples:
    """The triple as text: subject, relation in words, object.

    SKILL (Moiseev et al. 2022, arXiv 2205.08184) trains T5 on Wikidata triples instead of sentences, joined by comma
    and space (``Pulp Fiction, award received, [MASK]``), and masks the subject or the object, never the relation. A
    causal model reads from left to right: ``subject_last`` puts the subject last in half of the exposures, and ``loss:
    object`` restricts the loss to the name that stands last. The relation then stands first, so that no direction is
    lost: ``A, parent, B`` and ``B, parent, A`` are two facts.
    """

    name: ClassVar[str] = "triples"
    separator: str = ", "
    """The text between subject, relation and object."""
    end: str = ""
    """The text after the last name; a full stop is advisable with ``placement: inline``, where base text follows."""
    subject_last: bool = False
    """Whether every second exposure is relation, object, subject, and ``loss: object`` trains the subject there."""

    def __post_init__(self) -> None:
        """Check the options."""
        for key, text in (("separator", self.separator), ("end", self.end)):
            if not isinstance(text, str) or not is_one_line(text):
                raise ValueError(f"{key} is {ONE_LINE}")
        if not self.separator:
            raise ValueError("separator is not empty")

    def template_count(self, relation: str, book: TemplateBook) -> int:
        """Return 1, or 2 with ``subject_last``."""
        return 1 + self.subject_last

    def render(self, fact: Fact, template: int, book: TemplateBook) -> Rendered:
        """Join subject, relation and object; in template 1 relation, object and subject."""
        label = _label(book, fact.relation)
        if template:
            first = len(label) + len(self.separator)
            head = f"{label}{self.separator}{fact.object}{self.separator}"
            last = (len(head), len(head) + len(fact.subject))
            return Rendered(f"{head}{fact.subject}{self.end}", (first, first + len(fact.object)), last)
        head = f"{fact.subject}{self.separator}{label}{self.separator}"
        return Rendered(f"{head}{fact.object}{self.end}", (len(head), len(head) + len(fact.object)))


@lru_cache(maxsize=1 << 14)
def _label(book: TemplateBook, relation: str) -> str:
    return book.label(relation)
