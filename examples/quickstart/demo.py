"""The whole job in small: a sweep of tiny models by kis sweep, then kis-predict on its logs.

    python examples/quickstart/demo.py --out demo-out

Everything is real and small: shipped English text, shipped facts, models of 0.1 to 0.3 million parameters, each trained
in well under a minute on one core. What these runs show is printed, whatever it is. Where it is too little to predict
from, kis-predict says so, and the demo then predicts from the larger sweep of studies/law.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kis_plugin.run.log import RunLog, read_run_log

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LAW = ROOT / "studies" / "law"
PLAN = (
    "--sizes", "120k,180k,240k", "--frequency", "0,20,50,80,105,130", "--tokens", "700k", "--batch-tokens", "1024",
    "--vocabulary", "2048", "--block", "128", "--no-time",
)  # fmt: skip


def run(*words: str) -> int:
    """Run a command as a user would; return its exit code."""
    print(f"\n$ {' '.join(words)}", flush=True)
    return subprocess.run([str(Path(sys.executable).with_name(words[0])), *words[1:]], check=False).returncode


def answered(logs: str, *target: str) -> bool:
    """Run kis-predict; return whether it recommends an amount, and does not say what is missing."""
    code = run("kis-predict", "--logs", logs, "--target", *target)
    if code not in (0, 1):
        raise SystemExit(code)
    return code == 0


def table_of(logs: Sequence[RunLog]) -> Table:
    """Return held-out retention by size and frequency."""
    sizes = sorted({log.run.params for log in logs})
    table = Table(title="Held-out retention at the end (seen; control; general loss)", title_justify="left")
    table.add_column("F", justify="right")
    for size in sizes:
        table.add_column(f"N = {size:,}", justify="right")
    by_place = {(log.run.params, log.run.frequency): log for log in logs}
    for frequency in sorted({log.run.frequency for log in logs}):
        table.add_row(f"{frequency:g}", *(_cell(by_place[size, frequency]) for size in sizes))
    return table


def _cell(log: RunLog) -> str:
    last = {record.probe: record.accuracy for record in log.retention}
    return f"{last['held_out']:.3f} ({last['seen']:.2f}; {last['control']:.2f}; {log.loss[-1].loss:.2f})"


def exact(log: RunLog) -> bool:
    """Return whether a run's last line says that every fact was shown as often as planned."""
    shown = (log.end.achieved_frequency if log.end else None) or {}
    return shown.get("min") == shown.get("max") == log.run.frequency


def main() -> None:
    """Sweep, show, predict."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--out", type=Path, default=Path("demo-out"), help="folder for everything (default: %(default)s)"
    )
    out = options.parse_args().out
    console, started = Console(), time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    place = Path(os.path.relpath(out))
    console.print("1. The facts and kis.yaml of examples/quickstart, text from examples/data/text.txt.xz")
    if not (out / "sweep").exists():
        config, text = (os.path.relpath(path) for path in (HERE / "kis.yaml", ROOT / "examples/data/text.txt.xz"))
        if run("kis", "sweep", "plan", "--config", config, "--text", text, *PLAN, "-o", f"{place}/sweep"):
            raise SystemExit(1)
    console.print("2. One run for each size and frequency; interrupted runs continue")
    if run("kis", "sweep", "run", f"{place}/sweep"):
        raise SystemExit(1)
    logs = [read_run_log(path) for path in sorted((out / "sweep" / "runs").rglob("kis.jsonl"))]
    console.print(table_of(logs))
    console.print(
        f"Each fact was shown exactly F times: {sum(map(exact, logs))} of {len(logs)} logs say so in their last line."
    )
    console.print(f"{time.monotonic() - started:.0f} s so far. 3. What do these runs predict for 2M parameters?")
    if not answered(f"{place}/sweep/runs", "2M"):
        console.print(
            "\nThat is an answer too: runs this small and short settle no law. 4. The same question to a larger "
            f"sweep with longer runs; its commands, commit and hardware: {os.path.relpath(LAW / 'README.md')}"
        )
        if not answered(
            os.path.relpath(LAW / "logs.tar.xz"), "4M", "--tokens", "4.5M", "--facts", "200", "--max-loss-rise", "0.3"
        ):
            console.print(
                "\nMeasured, and still too little to base a large run on: the runs to add are listed above. A full "
                "recommendation, from a sweep that is simulated and says so: docs/how-to/predict.md"
            )
    console.print(f"\nDone in {time.monotonic() - started:.0f} s. Logs: {place}/sweep/runs", highlight=False)


if __name__ == "__main__":
    main()
