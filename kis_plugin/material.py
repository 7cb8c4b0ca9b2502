"""What a run infuses and what it asks: knowledge, templates and controls, read once for all plugins of the run."""

from __future__ import annotations

import hashlib

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

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

    @cached_property
    def passages_told(self) -> IntArray:
        """Indices of the passages that are infused, sorted."""
        return np.arange(len(self.knowledge.passages), dtype=np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the knowledge's content."""
        return hashlib.sha256(repr((self.knowledge.facts, self.knowledge.passages)).encode()).hexdigest()[:16]

    @property
    def cache(self) -> Path | None:
        """Where things prepared from this knowledge go; None: in memory."""
        return None

    @cached_property
    def changing(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """From when until when each fact holds, (facts,) each; None if all do all the time."""
        facts = self.knowledge.facts
        if all(fact.start == 0 and fact.until == 1 for fact in facts):
            return None
        return np.array([fact.start for fact in facts]), np.array([fact.until for fact in facts])

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The passages, all infused."""
        return self.knowledge.passages


def load_material(config: Config) -> Material:
    """Read knowledge and templates and split off the controls; the same files are not read twice in a row.

    Raises:
        KISError: Anything wrong with the files.
    """
    return _load(config, _stamps(config))


@lru_cache(maxsize=1)
def _load(config: Config, stamps: tuple[tuple[str, int, int], ...]) -> Material:
    knowledge = read_knowledge(config.knowledge)
    options = config.retention.probes.options
    infused, control = split_control(knowledge.facts, config.retention.control, config.seed, options)
    return Material(knowledge, TemplateBook.load(config.templates, knowledge), infused, control)


def _stamps(config: Config) -> tuple[tuple[str, int, int], ...]:
    """Return path, time and size of every file read, so that an edited one is read again."""
    stamps = []
    for root in (config.knowledge, Path(config.templates or "")):
        for path in [root, *(sorted(root.iterdir()) if root != Path() and root.is_dir() else [])]:
            if path.is_file():
                stat = path.stat()
                stamps.append((str(path.resolve()), stat.st_mtime_ns, stat.st_size))
    return tuple(stamps)
