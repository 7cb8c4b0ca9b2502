"""Which files of a checkpoint are whole: a kill, a full disk or a bad copy leaves empty, cut or foreign ones."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from kis_plugin.run.exposure_file import exposures_path, read_exposures

__all__ = ["damage_of_checkpoint", "damage_of_exposures"]

_LONGEST = 100_000_000  # bytes of a safetensors header, as its own reader has it


def damage_of_checkpoint(folder: Path, *needed: str) -> str:
    """Return which file of a checkpoint is not whole, and why; empty if all are.

    Looked at are sizes and the parts by which readers find the others, not every byte: that takes milliseconds.

    Args:
        folder: The checkpoint.
        needed: Files that its host always writes, the last one among them.
    """
    for name in needed:
        if not (folder / name).is_file():
            return f"{name} is missing"
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        look = _LOOKS.get(path.suffix)
        if look and (found := look(path)):
            return f"{path.name} {found}"
    return ""


def damage_of_exposures(logs: Path, step: int) -> str:
    """Return why the exposures up to ``step`` cannot be read from any run in ``logs``; empty if they can."""
    found = [read_exposures(exposures_path(folder, step)) for folder in sorted(logs.glob("*")) if folder.is_dir()]
    reasons = [reason for reason in found if isinstance(reason, str)]
    if len(reasons) < len(found):
        return ""
    return f"its exposures, exposures-{step}.npz, cannot be read: {(reasons or ['there is no run log'])[0]}"


def _of_tensors(path: Path) -> str:
    """Compare the size of a .safetensors file with its header: 8 bytes of length, JSON, data."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(size - 8, _LONGEST):
            return "is cut off or no safetensors file"
        try:
            header = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            expected = 8 + length + max(ends, default=0)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            return "has no header that can be read"
    return "" if size == expected else f"has {size:,} bytes instead of {expected:,}"


def _of_archive(path: Path) -> str:
    """Read the directory at the end of a file of ``torch.save``, a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "" if archive.namelist() else "is empty"
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return "is cut off or no file of torch.save"


def _of_json(path: Path) -> str:
    try:
        json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return "is no JSON"
    return ""


_LOOKS: dict[str, Callable[[Path], str]] = {
    ".safetensors": _of_tensors,
    **dict.fromkeys((".pt", ".pth", ".bin"), _of_archive),
    ".json": _of_json,
}
