"""Writes a line for the user to stderr, above the progress bars of the program that trains."""

from __future__ import annotations

import sys

from kis_plugin.escapes import escaped, to_stderr

__all__ = ["above_bars"]


def above_bars(line: str) -> None:
    """Write a line, or several, with control characters as text.

    Bars of tqdm are taken away and drawn again below; those of rich redirect stderr themselves.
    """
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)  # a program without bars need not have it
    if tqdm is not None and len(getattr(tqdm, "_instances", ())):
        tqdm.write(escaped(line, keep="\n"), file=sys.stderr)
    else:
        to_stderr(line, keep="\n")
