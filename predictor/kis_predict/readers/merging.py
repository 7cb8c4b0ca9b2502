"""Completes a run from what a framework logged, ``--map`` and the files next to the log; or names what is missing."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem, nearest
from kis_predict.observed import ObservedRun
from kis_predict.readers.bounds import NUMBERS, REQUIRED, impossible, number
from kis_predict.readers.column_mapping import SIDECAR, Beside, keys_of, load_mapping, look_up
from kis_predict.readers.foreign import ForeignRun, LeftOut, MapUse

__all__ = ["Completion"]

_FINISHED = ("completed", "finished")
_ENOUGH = 0.99


@dataclass
class Completion:
    """Completes foreign runs and remembers which paths of ``--map`` matched nothing.

    Attributes:
        mapping: Paths by field.
        runs: Foreign runs seen.
        unmatched: For each field of ``mapping``, runs in which its path matched nothing.
        keys: What the path could have been, for the hint.
    """

    mapping: Mapping[str, str]
    runs: int = 0
    unmatched: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    keys: dict[str, None] = field(default_factory=dict)
    _files: dict[Path, dict[str, Any] | None] = field(default_factory=dict)

    def complete(self, found: ForeignRun, root: Path) -> ObservedRun | LeftOut:
        """Return the run. ``--map`` takes precedence over the log itself, and the log over ``kis.json``.

        Raises:
            KISError: Every value that no run can have.
        """
        nearby = Beside(found.folder, found.near, root, self._load)
        values_found = {**nearby.sidecar(), **found.values, **self._mapped(found, nearby)}
        status = _status(values_found, found)
        if status not in (None, "completed"):
            return LeftOut(found.source, "the run did not complete")
        diverged = [name for name in ("retention", "loss") if _not_finite(values_found.get(name))]
        if diverged:
            return LeftOut(found.source, f"{' and '.join(diverged)} not finite: the run diverged")
        missing = [name for name in REQUIRED if values_found.get(name) is None]
        if missing:
            return LeftOut(
                found.source, f"no {', '.join(missing)}: give them by --map, or by a {SIDECAR} next to the log"
            )
        warnings = found.warnings
        if status is None:
            warnings = (*warnings, f"{found.source}: does not say whether the run completed; taken as if it did")
        loss_splits = () if "loss" in values_found else found.loss_splits  # named by --map or a file
        return replace(_checked(values_found, found.source, warnings), loss_splits=loss_splits)

    def note(self, use: MapUse) -> None:
        """Remember which paths matched in a log whose reader applies ``--map`` itself."""
        self.runs += 1
        self.keys |= dict.fromkeys(use.keys)
        for name in use.unmatched:
            self.unmatched[name].append(use.source)

    def unused(self) -> list[Problem]:
        """Return a problem for each path that matched nothing in any foreign run."""
        return [
            Problem(
                f"--map {name}={self.mapping[name]}",
                f"none of that name in {self.runs:,} log{'s' if self.runs != 1 else ''}, nor next to them",
                "a key of the log, or FILE.KEY for FILE.json or FILE.yaml next to it",
                self._hint(self.mapping[name]),
            )
            for name, runs in self.unmatched.items()
            if self.runs and len(runs) == self.runs
        ]

    def _hint(self, path: str) -> str:
        close = nearest(path, self.keys)
        some = [key for key in self.keys if not key.startswith("stateful_callbacks.")][:12]
        return close if close.startswith("Did") else f"Keys of the log: {', '.join(some)} ..." if some else ""

    def _mapped(self, found: ForeignRun, nearby: Beside) -> dict[str, object]:
        self.runs += 1
        values: dict[str, object] = {}
        for name, path in self.mapping.items():
            value = look_up(path, found.tree)
            value = nearby.look_up(path) if value is None else value
            if value is None:
                self.unmatched[name].append(found.source)
            else:
                values[name] = value
        if self.unmatched and len(self.keys) < 200:
            self.keys |= dict.fromkeys(keys_of(found.tree))
        return values

    def _load(self, path: Path) -> dict[str, Any] | None:
        if path not in self._files:
            self._files[path] = load_mapping(path)
        return self._files[path]


def _status(values_found: Mapping[str, object], found: ForeignRun) -> str | None:
    """Return how the run ended: its status, or its progress against its budget; None where neither is known."""
    status = values_found.get("status")
    if isinstance(status, str) and status.strip():
        return "completed" if status.strip().lower() in _FINISHED else status.strip().lower()
    budget = number("tokens", values_found.get("tokens"), "")
    if found.seen is None or isinstance(budget, Problem):
        return None
    return "completed" if found.seen >= _ENOUGH * budget else "unfinished"


def _not_finite(value: object) -> bool:
    """Return whether it is a number that is not finite, as diverged runs log them."""
    try:
        return isinstance(value, (str, float)) and not math.isfinite(float(value))
    except ValueError:
        return False


def _checked(values_found: Mapping[str, object], source: str, warnings: tuple[str, ...]) -> ObservedRun:
    """Build the run, or raise every problem that prevents it."""
    values: dict[str, Any] = {}
    problems = []
    for name in NUMBERS:
        if values_found.get(name) is None:
            continue
        value = number(name, values_found[name], source)
        if isinstance(value, Problem):
            problems.append(value)
        else:
            values[name] = value
    options = values.pop("options", None)
    if options is not None and options < 2:
        problems.append(Problem(f"{source} options", f"{options:g}", "2 options or more"))
    elif options is not None:
        values.setdefault("chance", 1 / options)
    if problems:
        raise KISError(problems)
    text = values_found.get("schedule_hash")
    run = replace(
        ObservedRun(source=source, params=1, tokens=1, frequency=0.0, retention=None, warnings=warnings),
        schedule_hash=text if isinstance(text, str) else "", **values,
    )  # fmt: skip
    problems = [Problem(f"{source} {key}", repr(getattr(run, key)), expected) for key, expected in impossible(run)]
    if problems:
        raise KISError(problems)
    return run
