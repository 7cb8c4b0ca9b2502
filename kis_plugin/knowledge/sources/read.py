"""Finds the source for a knowledge file or folder and reads it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.facts import Knowledge
from kis_plugin.knowledge.protocols import Source
from kis_plugin.knowledge.sources.conversions import conversion
from kis_plugin.knowledge.sources.folders import FolderSource
from kis_plugin.knowledge.sources.triples import TripleSource
from kis_plugin.registry import registered
from kis_plugin.storage.regular_files import refuse_special_file

__all__ = ["read_knowledge", "source_for"]


def source_for(path: Path, columns: Mapping[str, str] | None = None) -> Source:
    """Return the first registered source that claims ``path``.

    Args:
        path: A file or folder.
        columns: Which columns hold the parts of a fact, where they have other names; only for tables.

    Raises:
        KISError: None does, or there is no such path.
    """
    try:
        refuse_special_file(path)
        sources: dict[str, Source] = registered("sources")
        if columns:
            sources = {source.name: source for source in (TripleSource(columns), FolderSource(columns))}
        for source in sources.values():
            if source.claims(path):
                return source
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or str(error)
        raise KISError(Problem(str(path), found[:1].lower() + found[1:], "a file or folder of facts")) from error
    what = "a folder" if path.is_dir() else "a file"
    reads = "; ".join(f"{name}: {_reads(source)}" for name, source in sources.items())
    expected = f"what one of these reads. {reads}"
    raise KISError(Problem(str(path), f"{what} that no source reads", expected, conversion(path)))


def read_knowledge(path: Path, columns: Mapping[str, str] | None = None) -> Knowledge:
    """Read facts and passages from a file or folder, by the first registered source that claims it.

    Args:
        path: A file or folder.
        columns: Which columns hold the parts of a fact: ``{"subject": "head", "relation": "rel", "object": "tail"}``.

    Raises:
        KISError: No source reads it, or everything wrong with it.
    """
    return source_for(path, columns).read(path)


def _reads(source: Source) -> str:
    """Return what a source reads: the first line of its docstring."""
    return (inspect.getdoc(type(source)) or "undocumented").splitlines()[0].rstrip(".")
