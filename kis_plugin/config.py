"""``kis.yaml`` as frozen dataclasses."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path, PurePath
from typing import Any

from kis_plugin.config_check import SCHEMA, check
from kis_plugin.errors import KISError, Problem, nearest
from kis_plugin.plugins import registered
from kis_plugin.yaml_file import Node, read_yaml

__all__ = [
    "AMOUNTS", "Config", "InfusionConfig", "ProbesConfig", "RetentionConfig", "config_from", "load_config",
    "nearest_existing",
]  # fmt: skip

DEFAULT_FREQUENCY = 64.0


@dataclass(frozen=True)
class InfusionConfig:
    """How much is infused, and where. Exactly one of the three amounts is set."""

    frequency: float | None = None
    """Exposures per fact in the whole run; 0 infuses nothing (the run to compare with)."""
    share: float | None = None
    """Infused tokens as a fraction of the run's tokens."""
    tokens: int | None = None
    """Infused tokens; ``1.2B`` and the like in the file."""
    placement: str = "rows"
    window: tuple[float, float] = (0.0, 1.0)
    """Part of the run that is infused, as fractions of its rows."""
    schedule: str = "uniform"
    templates: str = "rotate"
    """``rotate`` tells a fact by all of its relation's training sentences in turn, ``one`` by the first alone."""


@dataclass(frozen=True)
class ProbesConfig:
    """What is asked."""

    facts: int = 1000
    """At most so many infused facts are probed."""
    options: int = 4
    templates: tuple[str, ...] = ("held_out",)
    """Probe kinds asked of infused facts; ``seen`` is always asked beside them, and controls by the first."""


@dataclass(frozen=True)
class RetentionConfig:
    """When and how retention is measured."""

    every: float | int = 0.1
    """A fraction of the run (a number below 1) or a number of steps (a whole number); start and end always."""
    probes: ProbesConfig = field(default_factory=ProbesConfig)
    control: int = 200
    """Facts kept back from infusion, to be asked like the infused ones."""


@dataclass(frozen=True)
class Config:
    """All of ``kis.yaml``."""

    knowledge: Path
    """Relative paths are taken from the folder of the file."""
    templates: str | None = None
    infusion: InfusionConfig = field(default_factory=lambda: InfusionConfig(frequency=DEFAULT_FREQUENCY))
    retention: RetentionConfig = field(default_factory=RetentionConfig)
    run_log: Path = Path("runs")
    seed: int = 0
    path: Path | None = None
    """The file this came from; None for one made in code."""


AMOUNTS = ("frequency", "share", "tokens")


def load_config(path: Path) -> Config:
    """Read ``kis.yaml``.

    Raises:
        KISError: Everything wrong with it, each with its line and key.
    """
    node = read_yaml(path, "a configuration of KIS")
    if node.value is None:
        raise KISError(
            Problem(str(path), "an empty file", "at least the key knowledge", "Write knowledge: facts.jsonl")
        )
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
        problems += [*_amount_problems(node), *_path_problems(node, values, folder), *_name_problems(node, values)]
    if problems:
        raise KISError(problems)
    infusion, retention = values.pop("infusion", {}), values.pop("retention", {})
    if not any(name in infusion for name in AMOUNTS):
        infusion["frequency"] = DEFAULT_FREQUENCY
    probes = ProbesConfig(**retention.pop("probes", {}))
    if _is_file_name(values.get("templates") or ""):
        values["templates"] = str(folder / values["templates"])
    return Config(
        knowledge=folder / values.pop("knowledge"),
        run_log=folder / values.pop("run_log", "runs"),
        infusion=InfusionConfig(**infusion),
        retention=RetentionConfig(probes=probes, **retention),
        path=path,
        **values,
    )


def _amount_problems(root: Node) -> Iterator[Problem]:
    """Each of the three amounts says the same thing in another way: two of them would contradict each other."""
    infusion = root.value.get("infusion")
    keys = infusion.value if infusion and isinstance(infusion.value, dict) else {}
    given = [name for name in keys if name in AMOUNTS]
    if len(given) > 1:
        where = f"{keys[given[1]].key_where} infusion.{given[1]}"
        yield Problem(where, " and ".join(given), f"exactly one of {', '.join(AMOUNTS)}")


def _path_problems(root: Node, values: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    if "knowledge" not in root.value:
        yield Problem(f"{root.where} knowledge", "no such key", "the path of the facts", "Write knowledge: facts.jsonl")
    for key, what in (("knowledge", "a file or folder of facts"), ("templates", "a file of templates")):
        value = values.get(key)
        if value is None or (key == "templates" and not _is_file_name(value)):
            continue
        try:
            (folder / value).stat()
            if (folder / value).is_dir():
                next((folder / value).iterdir(), None)  # may it be read?
        except (OSError, ValueError) as error:
            reason = "no such file or folder" if isinstance(error, FileNotFoundError) else str(error)
            hint = "" if Path(value).is_absolute() else "Relative paths are taken from the folder of the configuration."
            yield Problem(f"{root.value[key].where} {key}", f"{value!r}: {reason}", what, hint)
            continue
        if key == "knowledge" and not ((folder / value).is_file() or (folder / value).is_dir()):
            # Knowledge is read twice, a pipe can be read once.
            yield Problem(f"{root.value[key].where} {key}", f"{value!r}: a pipe or a device", what)
    log = values.get("run_log")
    if log is None:
        return
    where, there = f"{root.value['run_log'].where} run_log", nearest_existing(folder / log)
    if log.startswith("~"):
        yield Problem(where, repr(log), "a folder", "Write it out: ~ means nothing here.")
    elif not there.is_dir():
        yield Problem(where, f"{log!r}: {there} is a file", "a folder, which is made if it is missing")


def nearest_existing(path: Path) -> Path:
    """Return ``path``, or of the folders it is to be made in the nearest one that is there."""
    return next((place for place in (path, *path.parents) if os.path.lexists(place)), Path())


def _name_problems(root: Node, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Names of what plugins register, checked here so that a misspelt one comes with its line."""
    probes = values.get("retention", {}).get("probes", {}).get("templates", ())
    chosen = (
        ("schedules", "infusion.schedule", (values.get("infusion", {}).get("schedule"),)),
        ("probes", "retention.probes.templates", probes),
        ("templates", "templates", (values.get("templates"),)),
    )
    for kind, key, names in chosen:
        for name in names:
            if name is None or (kind == "templates" and _is_file_name(name)) or name in registered(kind):
                continue
            node = root
            for part in key.split("."):
                node = node.value[part]
            hint = nearest(name, registered(kind)) + (" A file's name ends in .yaml." if kind == "templates" else "")
            yield Problem(f"{node.where} {key}", repr(name), f"one of the installed {kind}", hint)


def _is_file_name(templates: str) -> bool:
    return templates.endswith((".yaml", ".yml"))
