"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from kis_plugin.errors import KISError, Problem

__all__ = ["write_whole"]


def write_whole(path: Path, content: bytes, option: str) -> None:
    """Write ``content`` to a temporary name beside ``path`` and rename it.

    Raises:
        KISError: It cannot be written, at ``option``.
    """
    path = path.resolve()  # what a link points to is written, not the link
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            mask = os.umask(0)
            os.umask(mask)
            Path(temporary).chmod(0o666 & ~mask)  # as if made by open(), not for its owner alone
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise KISError(Problem(f"{option} {path}", str(error.strerror or error), "a file to write")) from error
