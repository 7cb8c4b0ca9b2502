"""What sources of facts in one file have in common: reading whole, reading as a stream, refusing repeated facts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from kis_plugin.knowledge.facts import Fact, Knowledge
from kis_plugin.knowledge.sources.fact_records import FACT_RULES
from kis_plugin.knowledge.sources.text_files import Problems
from kis_plugin.knowledge.sources.unique_entries import yield_unique

__all__ = ["FactFileSource"]


class FactFileSource(ABC):
    """Base of the sources that read facts from one file, such as a table.

    Attributes:
        nothing: What was found and what was expected, for a file without any fact.
    """

    nothing: tuple[str, str]

    @abstractmethod
    def entries(self, path: Path, problems: Problems, prefix: str = "") -> Iterator[tuple[int, Fact]]:
        """Yield each fact with its line, repeated ones too.

        Args:
            path: The file.
            problems: Collects errors.
            prefix: Before the ids of facts that have none in the file.
        """

    def read(self, path: Path) -> Knowledge:
        """Read all facts.

        Raises:
            KISError: Everything wrong with the file, each with its line.
        """
        return Knowledge(facts=tuple(self.stream(path)))

    def stream(self, path: Path) -> Iterator[Fact]:
        """Yield the facts one by one.

        Raises:
            KISError: Everything wrong with the file, each with its line, after the last fact.
        """
        return yield_unique(
            lambda problems: self.entries(path, problems),
            FACT_RULES,
            Problems(path),
            lambda line: (f"{path}:{line}", f"in line {line}"),
            self.nothing,
        )
