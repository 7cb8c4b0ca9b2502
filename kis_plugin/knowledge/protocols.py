"""Protocols of knowledge sources and selections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from kis_plugin.knowledge.facts import Fact, Knowledge, Passage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


__all__ = ["Selection", "Source", "StreamingSource"]


@runtime_checkable
class Source(Protocol):
    """Reads one kind of knowledge file or folder into memory, at every start.

    A source whose files may not fit into memory implements ``StreamingSource`` too.
    """

    name: str

    def claims(self, path: Path) -> bool:
        """Return whether this source reads ``path``, judged by its name or its beginning."""

    def read(self, path: Path) -> Knowledge:
        """Read all of it.

        Raises:
            KISError: Everything wrong with the file, each with its line.
        """


@runtime_checkable
class StreamingSource(Source, Protocol):
    """A source for files of any size: facts and passages are written to the cache as they are read.

    The cache entry is identified by the content of the files, the class and ``version``, which is raised when the same
    file gives other facts.
    """

    version: int | str

    def stream(self, path: Path) -> Iterator[Fact | Passage]:
        """Yield the facts and passages of ``read`` one by one.

        Raises:
            KISError: Everything wrong with the file, each with its line, after the last entry.
        """


@runtime_checkable
class Selection(Protocol):
    """Chooses the facts or passages to infuse, selected by ``infusion.selection: <name>``.

    The fields of a dataclass are its options: ``selection: {name: difference, scores: scores.jsonl}``.
    """

    @property
    def name(self) -> str:
        """The name in ``kis.yaml``."""

    def select(self, entries: Sequence[Fact] | Sequence[Passage], seed: int) -> npt.NDArray[np.int64]:
        """Return the indices in ``entries`` of those to infuse, sorted.

        Raises:
            KISError: It cannot choose, with the reason.
        """
