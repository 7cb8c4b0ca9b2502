"""The shapes a plugin hands over: one protocol for each thing that can be added from another distribution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from kis_plugin.knowledge import Knowledge, Templates

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from kis_plugin.probes import Question, QuestionMaker

__all__ = ["Law", "LogReader", "ProbeKind", "RunPlugin", "Schedule", "Source", "TemplateSet"]


@runtime_checkable
class Source(Protocol):
    """Reads one kind of knowledge file or folder."""

    name: str

    def claims(self, path: Path) -> bool:
        """Return whether this source reads ``path``, from its name or a glance inside."""

    def read(self, path: Path) -> Knowledge:
        """Read all of it.

        Raises:
            KISError: Everything wrong with the file, each with its line.
        """


@runtime_checkable
class TemplateSet(Protocol):
    """Sentences for relations, selected in ``kis.yaml`` by ``templates: <name>``."""

    name: str

    def templates(self) -> Mapping[str, Templates]:
        """Return the templates by relation. The key ``*`` serves relations that are not listed."""


@runtime_checkable
class Schedule(Protocol):
    """Says which rows of the run are infused, selected by ``infusion.schedule: <name>``.

    ``slots`` infused rows are laid over ``rows`` rows of the window. Both maps must be pure functions of their
    arguments, each the other's inverse, so that any worker of any rank can ask about any row at any time.
    """

    name: str

    def row_of(self, slot: int, slots: int, rows: int, seed: int) -> int:
        """Return the row, in ``range(rows)``, that carries ``slot``, in ``range(slots)``. ``slots <= rows``."""

    def slot_of(self, row: int, slots: int, rows: int, seed: int) -> int | None:
        """Return the slot that ``row`` carries, or None for a row of base text."""


@runtime_checkable
class ProbeKind(Protocol):
    """Makes the questions of one series, selected by ``retention.probes.templates: [<name>]``."""

    name: str

    def questions(self, maker: QuestionMaker) -> Sequence[Question]:
        """Return the questions about the facts that ``maker`` holds."""


@runtime_checkable
class LogReader(Protocol):
    """Finds and reads runs in one log format, for ``kis-predict``. The first reader that claims a file reads it."""

    name: str

    def claims(self, path: Path) -> bool:
        """Return whether this reader reads the file ``path``, from its name or a glance inside."""

    def read(self, path: Path) -> Iterable[Any]:
        """Return the runs in it, as ``kis_predict.observed.ObservedRun``.

        Raises:
            KISError: What is wrong with the file, with its lines.
        """


@runtime_checkable
class Law(Protocol):
    """How a critical amount depends on the model and its budget, for ``kis-predict``: linear on the log scale."""

    name: str
    formula: str
    """For people: ``log F_c = a + b log N``."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters' names, in the order of the columns of ``features``."""

    def features(self, params: npt.NDArray[np.float64], tokens: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the design matrix, (groups, parameters), for N and D, (groups,) each; natural logarithms inside.

        The predictor itself sees when the groups cannot tell the parameters apart, and leaves the law out.
        """


# Any object with hook implementations for run events (hookspecs.py): built for one run, gone with it.
RunPlugin = object
