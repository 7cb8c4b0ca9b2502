"""Reads the arrays of a ``.npz`` file that may be damaged or come from someone else."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from kis_plugin.storage.npy_files import Array

__all__ = ["read_archive"]

_LARGEST = 1 << 30  # bytes of compressed arrays


def read_archive(path: Path) -> dict[str, Array]:
    """Return all arrays of a ``.npz`` file by name; pickles in it are refused.

    KIS does not compress archives any more. Of compressed ones those of more than a gigabyte are not read: a file of a
    megabyte could take all of the memory.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    if path.exists() and not path.is_file():
        raise ValueError("no regular file")
    try:
        # Opened here, as numpy leaves a file open that is no whole archive.
        with path.open("rb") as raw:
            with zipfile.ZipFile(raw) as archive:
                packed = [one.file_size for one in archive.infolist() if one.compress_type != zipfile.ZIP_STORED]
            if sum(packed) > _LARGEST:
                raise ValueError(f"a compressed archive of {sum(packed):,} bytes")
            raw.seek(0)
            with np.load(raw, allow_pickle=False) as found:
                return {name: np.asarray(found[name]) for name in found.files}
    except OSError:
        raise
    except Exception as error:  # damaged members make zipfile and numpy raise errors of every kind
        raise ValueError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
