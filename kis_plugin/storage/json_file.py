"""Reads a file that holds one JSON value and may come from someone else: of bounded size, no device and no pipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.regular_files import refuse_special_file

__all__ = ["read_json"]

_MOST_BYTES = 1 << 24


def read_json(path: Path, expected: str, where: str = "", hint: str = "", most: int = _MOST_BYTES) -> Any:
    """Return the value in a JSON file.

    Args:
        path: The file.
        expected: What the file should be, for error messages.
        where: What an error calls it, such as an option and the path; the path by default.
        hint: What to do about a file that is missing or damaged.
        most: Bytes of the largest file that is read.

    Raises:
        KISError: The file cannot be read, is too large, or is no JSON in UTF-8.
    """
    where = where or str(path)
    try:
        refuse_special_file(path)
        size = path.stat().st_size
        if size > most and path.is_file():
            raise KISError(Problem(where, f"{size:,} bytes", f"{expected}, of at most {most:,} bytes", hint))
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise KISError(Problem(where, reason[:1].lower() + reason[1:], expected, hint)) from error
    except (ValueError, RecursionError) as error:  # of UTF-8, of JSON, of a path; lists in lists without end
        raise KISError(Problem(where, f"no JSON ({error})", expected, hint)) from error
