"""When facts hold: knowledge that changes in the course of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from sys import float_info

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray

__all__ = ["Validity"]

FloatArray = npt.NDArray[np.float64]

_PIECE = 1 << 20  # facts processed at a time


@dataclass(frozen=True)
class Validity:
    """The part of the run during which each fact holds.

    Attributes:
        changing: ``start`` and ``until`` of every fact, (facts,) each, as fractions of the run; None if every fact
            holds throughout.
    """

    changing: tuple[FloatArray, FloatArray] | None

    @cached_property
    def _bounds(self) -> npt.NDArray[np.float64]:
        """All distinct starts and ends, sorted."""
        bounds = np.empty(0)
        for values in self.changing or ():
            for first in range(0, len(values), _PIECE):
                bounds = np.union1d(bounds, values[first : first + _PIECE])
        return bounds

    def phase(self, at: float) -> int:
        """Return the number of the phase at fraction ``at`` of the run. Within a phase the same facts hold."""
        return int(np.searchsorted(self._bounds, _moment(at)))

    def holding(self, indices: IntArray, at: float) -> IntArray:
        """Return those of ``indices`` that hold at fraction ``at`` and may have been infused by then.

        A fact holds after its start, up to and including its end: a fact infused from 0.5 on cannot be known at 0.5.
        At 0 the facts hold whose start is 0.
        """
        if self.changing is None:
            return indices
        return self._some(indices, lambda start, until: (start < _moment(at)) & (until >= _moment(at)))

    def new(self, indices: IntArray, at: float) -> IntArray:
        """Return those of ``indices`` that hold at fraction ``at`` but did not from the beginning."""
        if self.changing is None:
            return indices[:0]
        return self._some(indices, lambda start, until: (start > 0) & (start < at) & (until >= at))

    def _some(self, indices: IntArray, which: Callable[[FloatArray, FloatArray], npt.NDArray[np.bool_]]) -> IntArray:
        assert self.changing is not None
        start, until = self.changing
        pieces = (indices[first : first + _PIECE] for first in range(0, len(indices), _PIECE))
        return np.concatenate([indices[:0], *(piece[which(start[piece], until[piece])] for piece in pieces)])


def _moment(at: float) -> float:
    # The smallest positive number stands for 0, where ``start < at`` must hold for facts that start at 0.
    return max(at, float_info.min)
