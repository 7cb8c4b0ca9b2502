"""What a run infuses and what it asks: knowledge, templates and controls, read once for all plugins of the run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from kis_plugin.config import Config
from kis_plugin.control import split_control
from kis_plugin.knowledge import Fact, Knowledge, Passage
from kis_plugin.seeded import IntArray
from kis_plugin.sources import read_knowledge
from kis_plugin.template_book import TemplateBook

__all__ = ["Material", "load_material"]


@dataclass(frozen=True)
class Material:
    """Facts with their split.

    Attributes:
        knowledge: All that the source gave.
        book: The templates of every relation.
        infused: Indices of the facts that are infused, sorted.
        control: Indices of the facts that never are, sorted.
    """

    knowledge: Knowledge
    book: TemplateBook
    infused: IntArray
    control: IntArray

    @property
    def facts(self) -> list[Fact]:
        """The facts that are infused."""
        return [self.knowledge.facts[index] for index in self.infused.tolist()]

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The passages, all infused."""
        return self.knowledge.passages


@lru_cache(maxsize=1)
def load_material(config: Config) -> Material:
    """Read knowledge and templates and split off the controls.

    Raises:
        KISError: Anything wrong with the files.
    """
    knowledge = read_knowledge(config.knowledge)
    infused, control = split_control(
        knowledge.facts, config.retention.control, config.seed, config.retention.probes.options
    )
    return Material(knowledge, TemplateBook.load(config.templates, knowledge), infused, control)
