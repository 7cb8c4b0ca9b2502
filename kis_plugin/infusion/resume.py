"""Compares the plan of a resumed run with the plan in its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.escapes import escaped
from kis_plugin.run.context import TrainingRun

__all__ = ["check_plan", "plan_settings"]

# What a plan depends on beside the settings: data, files and the host's own arguments.
_NOT_SETTINGS = ("rows", "block", "knowledge", "sentences", "tokenizer")

_HINT = "Give the run what it began with; on_mismatch: warn goes on all the same, with other counts."


@dataclass(frozen=True)
class _Changed(Problem):
    """A setting that is not what it was: ``found`` now, ``expected`` in the checkpoint."""

    file: str = "kis.yaml"

    def __str__(self) -> str:
        now, before = escaped(self.found), escaped(self.expected)
        line = f"{escaped(self.where)}: {now} in {escaped(self.file)}, {before} in the checkpoint"
        return f"{line}. {self.hint}" if self.hint else line


def plan_settings(config: Config) -> dict[str, str]:
    """Return the settings that a plan is made from, by their keys in ``kis.yaml``, as a resume compares them."""
    values = {f"infusion.{field.name}": getattr(config.infusion, field.name) for field in fields(config.infusion)}
    values |= {"retention.control": config.retention.control, "seed": config.seed}
    return {key: _as_text(value) for key, value in values.items()}


def check_plan(run: TrainingRun, state: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in what the plan of a resumed run differs from that of its checkpoint, by name.

    Args:
        run: The resumed run; ``on_mismatch`` in its configuration decides what a difference means.
        state: What the infuser left in the checkpoint: ``plan``, the fingerprint, and ``settings``.
        now: The fingerprint of the plan as made now.

    Raises:
        KISError: A difference, under ``on_mismatch: error``; each one is named, by the settings that make it where
            there are some.
    """
    before = state["plan"]
    differing = [key for key in {**now, **before} if now.get(key) != before.get(key)]
    problems = _problems(run, state, now, differing) if differing else []
    if problems and run.config.on_mismatch == "error":
        raise KISError(problems)
    if problems and run.rank == 0:
        lines = "\n".join(f"  {problem}" for problem in problems)
        run.notify(
            "kis: warning: on_mismatch is warn, and this run goes on with another plan than it began with:\n"
            f"{lines}\nFacts are shown as this plan says from row {run.rows_at(run.start_step):,} on; what the whole "
            "run shows is no longer the requested frequency. Do not predict from it."
        )
    return differing


def _problems(
    run: TrainingRun, state: Mapping[str, Any], now: Mapping[str, Any], differing: list[str]
) -> list[Problem]:
    """Name the settings that changed, and what else did; without changed settings, the parts of the plan."""
    at = f"resume at step {run.start_step}"
    file = run.config.path.name if run.config.path else "the configuration"
    settings, saved = plan_settings(run.config), state.get("settings", {})
    changed = [key for key in settings if key in saved and settings[key] != saved[key]]
    parts = [key for key in differing if key in _NOT_SETTINGS] if changed else differing
    problems: list[Problem] = [_Changed(f"{at}: {key}", settings[key], saved[key], file=file) for key in changed]
    problems += [
        Problem(f"{at}: {key}", f"{now.get(key)}", f"{state['plan'].get(key)} as in the checkpoint") for key in parts
    ]
    last = problems[-1]
    return [*problems[:-1], replace(last, hint=_HINT)]


def _as_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(list(value)) if isinstance(value, tuple) else str(value)
