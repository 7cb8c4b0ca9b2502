"""Small disks, and disks that are full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a disk of ``size``, such as ``8m``, at a new folder; skip the test where none can be mounted."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("disks cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)  # a run that failed may still have its log open


def fill(folder: Path, left: int = 0) -> Path:
    """Fill the disk of a folder but for ``left`` bytes; return the file to remove."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(512))
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - left)
    return filler
