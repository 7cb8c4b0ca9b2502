"""Reads kis.yaml, or a mapping made in code, into the dataclasses of ``schema.py``."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from pathlib import Path, PurePath
from typing import Any

from kis_plugin.config.cross_checks import problems_together
from kis_plugin.config.field_checks import SCHEMA, check
from kis_plugin.config.options import below
from kis_plugin.config.schema import (
    AMOUNTS,
    CHOICES,
    DEFAULT_FREQUENCY,
    RETENTION_PATHS,
    Config,
    GuardConfig,
    InfusionConfig,
    ProbesConfig,
    RetentionConfig,
    is_file_name,
)
from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.yaml_nodes import Node, read_yaml

__all__ = ["config_from", "load_config"]


def load_config(path: Path, to_be_made: str = "") -> Config:
    """Read ``kis.yaml``.

    Args:
        path: The file.
        to_be_made: A key of ``retention`` whose file is about to be made: it is left aside.

    Raises:
        KISError: Everything wrong with it, each with its line and key.
    """
    node = read_yaml(path, "a configuration of KIS")
    if node.value is None:
        raise KISError(
            Problem(str(path), "an empty file", "at least the key knowledge", "Write knowledge: facts.jsonl")
        )
    retention = node.value.get("retention") if isinstance(node.value, dict) else None
    if retention is not None and isinstance(retention.value, dict):
        retention.value.pop(to_be_made, None)
    return _config(node, path.parent, path)


def config_from(values: Mapping[str, Any], where: str = "config") -> Config:
    """Check a configuration made in code, as ``load_config`` checks a file.

    Args:
        values: What the file would hold: nested mappings. Paths may be ``Path`` objects, relative ones are taken from
            the current folder.
        where: What errors call it.

    Raises:
        KISError: Everything wrong with it, each with its key.
    """
    return _config(_wrap(values, where), Path(), None)


def _wrap(value: Any, where: str) -> Node:
    if isinstance(value, Mapping):
        return Node({str(key): _wrap(item, where) for key, item in value.items()}, where, where)
    if isinstance(value, (list, tuple)):
        return Node([_wrap(item, where) for item in value], where, where)
    if isinstance(value, PurePath):
        value = str(value)
    elif type(value) is not bool and isinstance(value, Integral):
        value = int(value)  # numpy's integers too
    return Node(value, where, where)


def _config(node: Node, folder: Path, path: Path | None) -> Config:
    problems: list[Problem] = []
    values = check(node, SCHEMA, problems)
    if isinstance(node.value, dict):
        problems += problems_together(node, values, folder)
    if problems:
        raise KISError(problems)
    infusion, retention = values.pop("infusion", {}), values.pop("retention", {})
    if not any(name in infusion for name in AMOUNTS):
        infusion["frequency"] = DEFAULT_FREQUENCY
    infusion |= {key: below(infusion[key], folder, kind) for key, kind in CHOICES.items() if key in infusion}
    probes, guard = ProbesConfig(**retention.pop("probes", {})), GuardConfig(**retention.pop("guard", {}))
    retention |= {key: folder / retention[key] for key in RETENTION_PATHS if retention.get(key)}
    if is_file_name(values.get("templates") or ""):
        values["templates"] = str(folder / values["templates"])
    return Config(
        knowledge=folder / values.pop("knowledge"),
        run_log=folder / values.pop("run_log", "runs"),
        cache=folder / cache if (cache := values.pop("cache", None)) else None,
        infusion=InfusionConfig(**infusion),
        retention=RetentionConfig(probes=probes, guard=guard, **retention),
        path=path,
        **values,
    )
