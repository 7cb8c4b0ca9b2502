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
    """Templates for relations, selected in ``kis.yaml`` by ``templates: <name>``."""

    name: str

    def templates(self) -> Mapping[str, Templates]:
        """Return the templates by relation. The key ``*`` stands for relations that are not listed."""


class Rendered(NamedTuple):
    """One sentence for one fact. It is a tuple because millions of them are created."""

    text: str
    """The text to infuse."""
    object: tuple[int, int]
    """The characters (first, end) of the object in the text."""
    target: tuple[int, int] | None = None
    """Those that ``loss: object`` trains, where they are not the object's: of the name that stands last."""


@runtime_checkable
class Renderer(Protocol):
    """Turns facts into text, selected by ``infusion.rendering: <name>``."""

    @property
    def name(self) -> str:
        """The name in ``kis.yaml``."""

    def template_count(self, relation: str, book: TemplateBook) -> int:
        """Return the number of templates for facts of ``relation``, 1 or more."""

    def render(self, fact: Fact, template: int, book: TemplateBook) -> Rendered:
        """Return the text of ``fact`` by template number ``template``, in ``range(template_count)``."""
