"""The command ``kis demo``: the whole job in small, on data that comes with KIS."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.shipped_data import shipped
from kis_plugin.storage.terminal import console, table

if TYPE_CHECKING:
    from rich.table import Table

    from kis_plugin.run.log import RunLog

__all__ = ["demo"]

PLAN = (
    "--sizes", "180k,240k", "--frequency", "0,20,50,80,105,130", "--tokens", "700k", "--batch-tokens", "1024",
    "--vocabulary", "2048", "--block", "128", "--no-time",
)  # fmt: skip
_LIBRARIES = ("torch", "transformers", "tokenizers")  # of the extra [hf], without importing them
_PROGRAMS = {"kis": "kis_plugin.cli.main", "kis-predict": "kis_predict.cli"}
_DATA = ("examples/quickstart/kis.yaml", "examples/data/text.txt.xz")
_STUDY = "studies/law/logs.tar.xz"
_TARGET = ("4M", "--tokens", "4.5M", "--facts", "200", "--max-loss-rise", "0.3")


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo-out"), show_default=True, help="Folder for everything."
)
def demo(out: Path) -> None:
    """Sweep tiny models on data that comes with KIS, and predict: under 6 minutes on two cores.

    Trains 12 models of 0.18 and 0.23 million parameters with 0 to 130 exposures of 300 facts about places, on public
    domain prose, shows what they retained, and predicts for a larger model. An interrupted demo continues.
    Needs kis-plugin[hf].

    \b
    Examples:
      kis demo
      kis demo --out demo-out
    """  # noqa: D301 - click reads the character, not its escape
    _need_framework()
    started = time.monotonic()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KISError(Problem(f"--out {out}", str(error.strerror or error), "a folder that can be made")) from error
    logs = _swept(out)
    screen = console()
    screen.print(_by_size(logs))
    count = sum(map(_exact, logs))
    screen.print(f"Each fact was shown exactly F times: {count} of {len(logs)} logs say so in their last line.")
    screen.print(f"{time.monotonic() - started:.0f} s so far. 3. What do these runs predict for 2M parameters?")
    if not _answered(str(out / "sweep" / "runs"), "2M"):
        screen.print(
            "\nThat is an answer too: runs this small and short settle no law. 4. The same question to a larger sweep "
            "with longer runs, which comes with KIS (studies/law)"
        )
        if not _answered(os.path.relpath(shipped(_STUDY)), *_TARGET):
            screen.print("\nMeasured, and still too little to base a large run on: the runs to add are listed above.")
    screen.print(f"\nDone in {time.monotonic() - started:.0f} s. Logs: {out / 'sweep' / 'runs'}")


def _need_framework() -> None:
    """Refuse to begin without what trains the runs, rather than in the middle of planning.

    Raises:
        KISError: Says which extra brings it.
    """
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if missing:
        found = f"no package {' and no package '.join(missing)}"
        hint = "Install the extra: pip install 'kis-plugin[hf]'."
        raise KISError(Problem("kis demo", found, "torch and transformers, which train its models", hint))


def _swept(out: Path) -> list[RunLog]:
    """Plan the sweep, if it is not planned, and train what is not trained; return the logs.

    Raises:
        SystemExit: A command failed; it has said why.
    """
    from kis_plugin.run.log import read_run_log

    screen = console()
    screen.print("1. A grid of tiny models, over facts and text that come with KIS")
    if not (out / "sweep").exists():
        config, text = (
            os.path.relpath(shipped(name)) for name in ("examples/quickstart/kis.yaml", "examples/data/text.txt.xz")
        )
        _must("kis", "sweep", "plan", "--config", config, "--text", text, *PLAN, "-o", str(out / "sweep"))
    screen.print("2. One run for each size and frequency; interrupted runs continue")
    _must("kis", "sweep", "run", str(out / "sweep"))
    return [read_run_log(path) for path in sorted((out / "sweep" / "runs").rglob("kis.jsonl"))]


def _answered(logs: str, *target: str) -> bool:
    """Run kis-predict; return whether it recommends an amount, and does not say what is missing."""
    code = _run("kis-predict", "--logs", logs, "--target", *target)
    if code not in (0, 1):
        raise SystemExit(code)
    return code == 0


def _must(*words: str) -> None:
    if code := _run(*words):
        raise SystemExit(code)


def _run(*words: str) -> int:
    """Run a command as a user would; return its exit code."""
    console().print(f"\n$ {shlex.join(words)}")
    command = [sys.executable, "-m", _PROGRAMS[words[0]], *words[1:]]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - our own commands


def _by_size(logs: Sequence[RunLog]) -> Table:
    """Return held-out retention by size and frequency."""
    sizes = sorted({log.run.params for log in logs})
    shown = table("F", *(f"N = {size:,}" for size in sizes), numbers=range(len(sizes) + 1))
    shown.title, shown.title_justify = "Held-out retention at the end (seen; control; general loss)", "left"
    by_place = {(log.run.params, log.run.frequency): log for log in logs}
    for frequency in sorted({log.run.frequency or 0.0 for log in logs}):
        shown.add_row(f"{frequency:g}", *(_cell(by_place.get((size, frequency))) for size in sizes))
    return shown


def _cell(log: RunLog | None) -> str:
    if log is None:
        return ""
    last = {record.probe: record.accuracy for record in log.retention}
    loss = f"{log.loss[-1].loss:.2f}" if log.loss else ""
    return f"{last['held_out']:.3f} ({last['seen']:.2f}; {last['control']:.2f}; {loss})"


def _exact(log: RunLog) -> bool:
    """Return whether a run's last line says that every fact was shown as often as planned."""
    shown = (log.end.achieved_frequency if log.end else None) or {}
    return shown.get("min") == shown.get("max") == log.run.frequency
