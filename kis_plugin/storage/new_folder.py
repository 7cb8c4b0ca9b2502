"""Makes a folder whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kis_plugin.errors import KISError, Problem

__all__ = ["new_folder"]


@contextmanager
def new_folder(folder: Path, where: str, hint: str = "Nothing is written over: choose another name.") -> Iterator[Path]:
    """Yield a draft folder that becomes ``folder`` at the end; on an error or an interrupt nothing is left of it.

    Args:
        folder: A folder that does not exist or is empty. Folders above it are made.
        where: What an error calls it, such as the option that named it.
        hint: What to do if there is something at ``folder``.

    Raises:
        KISError: There is something at ``folder``, or the folder cannot be made.
    """
    if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
        found = f"{folder}, which is not an empty folder"
        raise KISError(Problem(where, found, "a new or empty folder", hint))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}.", suffix=".partial", dir=folder.parent))
        draft.chmod(0o777 & ~_umask())  # mkdtemp makes it private
    except OSError as error:
        raise KISError(Problem(where, f"{folder}: {error.strerror or error}", "a folder that can be made")) from error
    try:
        yield draft
        if folder.exists():
            folder.rmdir()
        draft.replace(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _umask() -> int:
    """Return the permissions that new files do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
