"""Protocols of knowledge sources and selections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from kis_plugin.knowledge.facts import Fact, Knowledge, Passage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


__all__ = ["Selection", "Source"]


@runtime_checkable
class Source(Protocol):
    """Reads one kind of knowledge file or folder.

    One that may meet more than fits into memory has a method ``stream(path)`` too, which yields the facts and passages
    of ``read`` one by one and raises everything wrong with the file after the last of them. What it yields is kept in
    the cache under the file's content; an attribute ``version``, raised when the same file gives other facts, keeps an
    old one from being taken. A source without it is read in memory at every start.
    """

    name: str

    def claims(self, path: Path) -> bool:
        """Return whether this source reads ``path``, from its name or a glance inside."""

    def read(self, path: Path) -> Knowledge:
        """Read all of it.

        Raises:
            KISError: Everything wrong with the file, each with its line.
        """


@runtime_checkable
class Selection(Protocol):
    """Says which facts or passages are worth their tokens, selected by ``infusion.selection: <name>``.

    One that is a dataclass takes its fields as options: ``selection: {name: difference, scores: scores.jsonl}``.
    """

    @property
    def name(self) -> str:
        """What ``kis.yaml`` calls it."""

    def select(self, entries: Sequence[Fact] | Sequence[Passage], seed: int) -> npt.NDArray[np.int64]:
        """Return the places in ``entries`` of those to infuse, sorted.

        Raises:
            KISError: It cannot tell.
        """
