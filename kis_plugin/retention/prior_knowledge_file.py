"""Which facts the model knew before the first step, kept beside the run log (``known.npz``)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray
from kis_plugin.run.context import TrainingRun
from kis_plugin.storage.array_archive import read_archive
from kis_plugin.storage.atomic_write import write_atomically

__all__ = ["FILE_NAME", "BoolArray", "keep_known", "known_in", "known_state", "saved_known"]

BoolArray = npt.NDArray[np.bool_]

FILE_NAME = "known.npz"


def known_state(mask: BoolArray | None) -> dict[str, Any]:
    """Return what a checkpoint keeps of the decision: enough to recognise the file."""
    if mask is None:
        return {}
    digest = hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:16]
    return {"known": {"hash": digest, "known": int(mask.sum()), "facts": len(mask)}}


def keep_known(folder: Path, mask: BoolArray) -> None:
    """Write the file into the run's folder, whole or not at all. Rank 0 only."""
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Any] = {"facts": np.int64(len(mask)), "known": np.packbits(mask)}
    write_atomically(folder / FILE_NAME, lambda file: np.savez(file, **columns))


def saved_known(run: TrainingRun, facts: int) -> BoolArray | None:
    """Return what the file holds, (facts,), as rank 0 finds it; None if it is not there. Every rank calls it."""
    found = np.zeros(facts + 1, dtype=np.int64)  # whether there is a file, and the mask
    path = run.folder / FILE_NAME
    if run.rank == 0 and path.is_file():
        found[:] = _load(path, facts)
    found = run.ranks.sum(found)
    mask: BoolArray = found[1:] > 0
    return mask if found[0] else None


def known_in(folder: Path, facts: int) -> BoolArray | None:
    """Return what the file in a run's folder holds, (facts,); None if there is none for that number of facts."""
    found = _load(folder / FILE_NAME, facts)
    mask: BoolArray = found[1:] > 0
    return mask if found[0] else None


def _load(path: Path, facts: int) -> IntArray:
    """Return 1 and the mask, (1 + facts,); zeros for a file of other facts, or one that cannot be read."""
    nothing = np.zeros(facts + 1, dtype=np.int64)
    try:
        file = read_archive(path)
        if int(file["facts"]) != facts or len(file["known"]) != -(-facts // 8):
            return nothing
        return np.concatenate([[1], np.unpackbits(file["known"], count=facts)]).astype(np.int64)
    except (OSError, ValueError, KeyError, TypeError):
        return nothing  # the caller reports that it is not the file it should be
