"""Reads kis.yaml, or a mapping made in code, into the dataclasses of ``schema.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from pathlib import Path, PurePath
from typing import Any

from kis_plugin.config.cross_checks import problems_together
from kis_plugin.config.options import below
from kis_plugin.config.schema import AMOUNTS, CHOICES, DEFAULT_FREQUENCY, RENAMED, Config, KisYaml, is_file_name
from kis_plugin.config.validate import validate
from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.yaml_nodes import Node, read_yaml

__all__ = ["config_from", "load_config"]

_OF_FACTS = (".jsonl", ".csv", ".tsv", ".parquet")
_MISSING = {"knowledge": ("the path of the facts", "Write knowledge: facts.jsonl")}


def load_config(path: Path, to_be_made: str = "") -> Config:
    """Read ``kis.yaml``.

    Args:
        path: The file.
        to_be_made: A key of ``retention`` whose file is about to be made: it is left aside.

    Raises:
        KISError: Everything wrong with it, each with its line and key.
    """
    if path.suffix.lower() in _OF_FACTS:
        hint = f"Write knowledge: {path.name} into a kis.yaml, or begin with kis init PROJECT --facts {path.name}"
        raise KISError(Problem(str(path), "a file of facts by its name", "a configuration, kis.yaml", hint))
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
    checked = validate(KisYaml, node, "kis.yaml", {"folder": folder}, RENAMED, _MISSING)
    problems = list(checked.problems)
    if isinstance(node.value, dict):
        problems += problems_together(node, checked.right, folder)
    if problems or checked.value is None:
        raise KISError(problems)
    config = Config(**vars(checked.value), path=path)
    infusion, templates = config.infusion, config.templates
    if all(getattr(infusion, name) is None for name in AMOUNTS):
        infusion = replace(infusion, frequency=DEFAULT_FREQUENCY)
    choices: dict[str, Any] = {key: below(getattr(infusion, key), folder, kind) for key, kind in CHOICES.items()}
    if templates and is_file_name(templates):
        templates = str(folder / templates)
    run_log = config.run_log if "run_log" in checked.right else folder / config.run_log
    return replace(config, infusion=replace(infusion, **choices), templates=templates, run_log=run_log)
