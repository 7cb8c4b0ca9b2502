"""The exposures of a run beside its log, one file for each checkpoint, for a resume from there."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kis_plugin.hashing import IntArray
from kis_plugin.storage.array_archive import read_archive
from kis_plugin.storage.atomic_write import write_atomically

__all__ = ["SavedExposures", "exposures_path", "read_exposures", "write_exposures"]

_MOST = 1 << 53  # exposures of an item


@dataclass(frozen=True)
class SavedExposures:
    """Exposures up to a checkpoint, over all ranks.

    Attributes:
        counts: (items,) of each item.
        counted_from: The step from which they are counted; 0 if from the start of the run.
        items: Identifies what is counted (``Infuser.items_fingerprint``); empty in files of older versions.
    """

    counts: IntArray
    counted_from: int = 0
    items: str = ""


def exposures_path(folder: Path, step: int) -> Path:
    """Return the file of the checkpoint at ``step`` in a run's folder."""
    return folder / f"exposures-{step}.npz"


def write_exposures(path: Path, saved: SavedExposures) -> None:
    """Write exposures, whole or not at all.

    Raises:
        KISError: The file cannot be written.
    """
    top = int(saved.counts.max(initial=0))
    arrays = {
        # A byte each, mostly, and not compressed: that would save megabytes a checkpoint, and take ten times as long.
        "exposures": saved.counts.astype(np.min_scalar_type(top)),
        "counted_from": np.array(saved.counted_from, dtype=np.int64),
        "items": np.array(saved.items),
    }

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, write)


def read_exposures(path: Path) -> SavedExposures | str:
    """Return what was saved, or why it cannot be used."""
    try:
        file = read_archive(path)
        counts = file["exposures"]
        counted_from = int(file.get("counted_from", np.int64(0)))
        items = str(file.get("items", ""))
    except FileNotFoundError:
        return "there is no such file"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"it is damaged ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
    if counts.ndim != 1 or not np.issubdtype(counts.dtype, np.integer) or counted_from < 0:
        return "it is damaged (no counts)"
    if counts.min(initial=0) < 0 or counts.max(initial=0) > _MOST:
        return "it is damaged (no counts)"
    return SavedExposures(counts.astype(np.int64), counted_from, items)
