"""Finds the source for a knowledge file or folder and reads it."""

from __future__ import annotations

import inspect
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.facts import Knowledge
from kis_plugin.knowledge.protocols import Source
from kis_plugin.registry import registered

__all__ = ["read_knowledge", "source_for"]


def source_for(path: Path) -> Source:
    """Return the first registered source that claims ``path``.

    Raises:
        KISError: None does, or there is no such path.
    """
    try:
        path.stat()
        sources: dict[str, Source] = registered("sources")
        for source in sources.values():
            if source.claims(path):
                return source
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or str(error)
        raise KISError(Problem(str(path), found[:1].lower() + found[1:], "a file or folder of facts")) from error
    what = "a folder" if path.is_dir() else "a file"
    reads = "; ".join(f"{name}: {_reads(source)}" for name, source in sources.items())
    raise KISError(Problem(str(path), f"{what} that no source reads", f"what one of these reads. {reads}"))


def read_knowledge(path: Path) -> Knowledge:
    """Read facts and passages from a file or folder, by the first registered source that claims it.

    Raises:
        KISError: No source reads it, or everything wrong with it.
    """
    return source_for(path).read(path)


def _reads(source: Source) -> str:
    """Return what a source reads: the first line of its docstring."""
    return (inspect.getdoc(type(source)) or "undocumented").splitlines()[0].rstrip(".")
