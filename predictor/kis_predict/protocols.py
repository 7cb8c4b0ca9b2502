"""Protocols of log readers and scaling laws. A reader or law that can do more has the members of a sub-protocol too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


__all__ = [
    "AxisLaw", "BentLaw", "BudgetedLaw", "Law", "LogReader", "MappedReader", "MergingReader", "NamedReader",
    "ShrunkLaw", "SplitReader", "WeightedLaw",
]  # fmt: skip


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
class NamedReader(LogReader, Protocol):
    """A reader whose files have names of their own, so that they can be copied from a URL or into an archive."""

    names: tuple[str, ...]
    """Patterns such as ``*.tfevents.*``."""


@runtime_checkable
class MergingReader(LogReader, Protocol):
    """A reader of formats in which several files are one run."""

    def together(self, path: Path) -> object:
        """Return a key: all files with equal keys are read at once."""

    def read_together(self, paths: Sequence[Path]) -> Iterable[Any]:
        """Return the runs in the files of one key, as ``read`` does."""


@runtime_checkable
class MappedReader(LogReader, Protocol):
    """A reader that applies ``--map`` itself, rather than to return runs that are completed afterwards."""

    def with_mapping(self, mapping: Mapping[str, str]) -> LogReader:
        """Return a reader that finds the fields of a run where ``mapping`` says."""


@runtime_checkable
class SplitReader(LogReader, Protocol):
    """A reader of logs with the losses of several evaluation sets."""

    def with_general_split(self, name: str) -> LogReader:
        """Return a reader that takes general loss from the evaluation set ``name``."""


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

        Where the groups do not determine all parameters, the predictor notices and leaves the law out.
        """


@runtime_checkable
class BentLaw(Law, Protocol):
    """A law that is a line on the log scale, bent by one more parameter."""

    shape: str
    """The name of the parameter that bends it."""

    def shapes(self, log_amounts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the values of that parameter to try, equally likely beforehand, given the observed log F_c."""

    def bend(
        self, line: npt.NDArray[np.float64], shape: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return log F_c and its slope by the line, for arrays that broadcast."""


@runtime_checkable
class WeightedLaw(Law, Protocol):
    """A law that says how much it counts before any size is predicted; others count 0.25, the plain power 0.4."""

    prior_weight: float


@runtime_checkable
class ShrunkLaw(Law, Protocol):
    """A law some of whose parameters have a Gaussian prior."""

    @property
    def prior(self) -> Mapping[str, tuple[float, tuple[float, ...]]]:
        """By parameter: its prior mean, and standard deviations to try, equally likely."""


@runtime_checkable
class CautiousLaw(Law, Protocol):
    """A law that counts for more in the recommendation than in the interval, if it lowers it."""

    @property
    def caution(self) -> float:
        """By what factor."""


@runtime_checkable
class AxisLaw(Law, Protocol):
    """A law that holds in one amount only."""

    axis: str
    """``frequency`` or ``share``."""


@runtime_checkable
class BudgetedLaw(Law, Protocol):
    """A law with an exponent of D of its own: it takes part where a sweep has two budgets at some size."""

    needs_budgets: bool
