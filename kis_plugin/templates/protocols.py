"""Protocols of template sets and renderers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from kis_plugin.knowledge.facts import Fact, Templates

if TYPE_CHECKING:
    from kis_plugin.templates.book import TemplateBook

__all__ = ["Rendered", "Renderer", "TemplateSet"]


@runtime_checkable
class TemplateSet(Protocol):
    """Sentences for relations, selected in ``kis.yaml`` by ``templates: <name>``."""

    name: str

    def templates(self) -> Mapping[str, Templates]:
        """Return the templates by relation. The key ``*`` serves relations that are not listed."""


class Rendered(NamedTuple):
    """One wording of one fact; a tuple, since millions of them are made."""

    text: str
    """What is infused."""
    object: tuple[int, int]
    """Where the object stands in it, as characters (first, end)."""


@runtime_checkable
class Renderer(Protocol):
    """Says how a fact is worded, selected by ``infusion.rendering: <name>``."""

    @property
    def name(self) -> str:
        """What ``kis.yaml`` calls it."""

    def wordings(self, relation: str, book: TemplateBook) -> int:
        """Return how many wordings facts of ``relation`` have; 1 or more."""

    def render(self, fact: Fact, wording: int, book: TemplateBook) -> Rendered:
        """Return ``fact`` in wording ``wording``, in ``range(wordings)``."""
