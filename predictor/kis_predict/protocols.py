"""Protocols of log readers and scaling laws."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


__all__ = ["Law", "LogReader"]


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
    """How a critical amount depends on the model and its budget, for ``kis-predict``: linear on the log scale.

    One that is not has three members more, which must come together: ``shape``, the name of the parameter that bends
    it; ``shapes(log_amounts)``, which returns the values to try, equally likely beforehand, given the observed
    log F_c; and ``bend(line, shape)``, which returns log F_c and its slope by the line, for arrays that broadcast.
    """

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
