"""Facts that superseded another: same subject and relation, valid from where the other ends."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.fact_codes import FactCodes

__all__ = ["superseded"]


def superseded(
    codes: FactCodes, changing: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]], new: IntArray, at: float
) -> IntArray:
    """Return facts with the one that each superseded.

    Args:
        codes: All facts.
        changing: ``start`` and ``until`` of all facts, (facts,) each, as fractions of the run.
        new: Indices of the facts that may have superseded another; a few thousand at most.
        at: A fraction of the run. Pairs whose old object is true at it again, by whatever fact, are left out.

    Returns:
        (pairs, 2) the new fact and the old one, in the order of ``new``.
    """
    start, until = changing
    same_subjects = np.flatnonzero(codes.mask(codes.subject[new])[codes.subject])
    by_slot: dict[tuple[int, int], list[int]] = {}  # (relation, subject) to its facts
    for fact in same_subjects.tolist():
        by_slot.setdefault((int(codes.relation[fact]), int(codes.subject[fact])), []).append(fact)
    pairs = []
    for fact in new.tolist():
        versions = by_slot[int(codes.relation[fact]), int(codes.subject[fact])]
        true = {int(codes.object[other]) for other in versions if start[other] < at <= until[other]}
        old = [other for other in versions if until[other] == start[fact] and int(codes.object[other]) not in true]
        if old:
            pairs.append((fact, old[0]))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
