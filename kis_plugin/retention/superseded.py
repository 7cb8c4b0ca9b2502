"""Facts that replaced another: same subject and relation, beginning where the other ends."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.fact_codes import FactCodes

__all__ = ["replaced"]


def replaced(
    codes: FactCodes, changing: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]], new: IntArray, at: float
) -> IntArray:
    """Return facts with the one that each replaced.

    Args:
        codes: All facts.
        changing: ``start`` and ``until`` of all facts, (facts,) each.
        new: Facts that may have replaced another; a few thousand at most.
        at: A fraction of the run. Facts whose old object is true at it again, by whatever fact, are left out.

    Returns:
        (pairs, 2) the new fact and the old one, in the order of ``new``.
    """
    start, until = changing
    mates = np.flatnonzero(codes.mask(codes.subject[new])[codes.subject])
    by_slot: dict[tuple[int, int], list[int]] = {}
    for mate in mates.tolist():
        by_slot.setdefault((int(codes.relation[mate]), int(codes.subject[mate])), []).append(mate)
    pairs = []
    for fact in new.tolist():
        told = by_slot[int(codes.relation[fact]), int(codes.subject[fact])]
        true = {int(codes.object[mate]) for mate in told if start[mate] < at <= until[mate]}
        old = [mate for mate in told if until[mate] == start[fact] and int(codes.object[mate]) not in true]
        if old:
            pairs.append((fact, old[0]))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
