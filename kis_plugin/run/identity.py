"""The name of a run, and the versions it was run with."""

from __future__ import annotations

import platform
import re
import time
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import kis_plugin
from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem

__all__ = ["new_run_id", "resumed_run_id", "versions"]

_RUN_ID = re.compile(r"[\w.-]{1,200}")


def new_run_id(framework: str, params: int, config: Config) -> str:
    """Return a name that is never given twice and shows model size, amount, seed and time."""
    amounts = {name: getattr(config.infusion, name) for name in ("frequency", "share", "tokens")}
    amount = next(f"{name}{value:g}" for name, value in amounts.items() if value is not None)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    return f"{framework}-{params}-{amount}-seed{config.seed}-{stamp}-{uuid.uuid4().hex[:6]}"


def resumed_run_id(state: Mapping[str, Any], run_log: Path) -> str:
    """Return the name of the run that a checkpoint continues; it becomes that of a folder, so it is checked.

    Args:
        state: What KIS kept in the checkpoint.
        run_log: The folder of run logs.

    Raises:
        KISError: A name that no run has, or whose folder does not lie in ``run_log``.
    """
    run_id = state.get("run_id")
    hint = "Resume from a checkpoint of your own."
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id) or run_id in (".", ".."):
        raise KISError(
            Problem("run_id of the checkpoint", repr(run_id)[:80], "letters, digits, '.', '_' and '-'", hint)
        )
    folder = (run_log / run_id).resolve()
    if folder != run_log.resolve() / run_id:
        raise KISError(Problem(str(run_log / run_id), f"a link to {folder}", f"a folder inside {run_log}", hint))
    return run_id


def versions(*distributions: str) -> dict[str, str]:
    """Return the versions of KIS, Python and installed distributions."""
    found = {"kis": kis_plugin.__version__, "python": platform.python_version()}
    return found | {name: version(name) for name in distributions}
