"""What ``kis count --engine local`` costs beside ``kis count`` without an engine, on the same files.

    python -m benchmarks counting --megabytes 200 --runs 5

The text is ``examples/data/text.txt.xz``, written as many times as it takes, one file for every 32 MB; the facts are
those of ``examples/data``. Both sides must write the same counts. They take turns, each measurement is a fresh command,
and what is compared is the CPU time of the command with all its processes; the ratio is the median over pairs.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import lzma
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

DATA = Path(__file__).parent.parent / "examples" / "data"
PIECE = 32_000_000
"""Bytes of a file: as much as one task of an engine counts."""
PR_SET_CHILD_SUBREAPER = 36
SIDES: Mapping[str, Sequence[str]] = {"processes": (), "datatrove": ("--engine", "local", "--work", "{folder}/work")}
"""Further options of ``kis count`` for each side; ``{folder}`` is new each time."""


def write_text(folder: Path, megabytes: float) -> None:
    """Write files of text, of so many megabytes together."""
    folder.mkdir()
    text, left, number = lzma.decompress((DATA / "text.txt.xz").read_bytes()), round(megabytes * 1e6), 0
    while left > 0:
        size = min(left, PIECE)
        (folder / f"{number:04}.txt").write_bytes(
            (text * (size // len(text) + 1))[:size].decode(errors="ignore").encode()
        )
        left, number = left - size, number + 1


def seconds_of(folder: Path, text: Path, side: str, workers: int) -> tuple[float, bytes]:
    """Count in a new process; return its CPU seconds, those of its own processes included, and the counts."""
    folder.mkdir()
    options = [word.format(folder=folder) for word in SIDES[side]]
    command = [
        sys.executable, "-m", "kis_plugin.cli.main", "count", str(DATA / "facts.jsonl"), str(text),
        "--output", str(folder / "counts.jsonl"), "--workers", str(workers), *options,
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        before = children_seconds()
        done = subprocess.run(command, stdout=log, stderr=log, check=False)
    if done.returncode:
        raise SystemExit((folder / "log").read_text("utf-8"))
    with contextlib.suppress(ChildProcessError):
        while True:  # those of its processes that it did not wait for: they are this one's now
            os.wait()
    return children_seconds() - before, (folder / "counts.jsonl").read_bytes()


def children_seconds() -> float:
    """Return the CPU seconds of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent ended, as datatrove's workers' does. Linux only."""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise SystemExit("prctl: this system does not let a process adopt its descendants")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if the sides count differently."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--megabytes", type=float, default=200, help="of text (default: 200)")
    options.add_argument("--runs", type=int, default=5, help="pairs (default: 5)")
    options.add_argument("--workers", type=int, default=2, help="processes of each side (default: 2)")
    options.add_argument("--json", type=Path, help="write the figures there")
    args = options.parse_args(argv)
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    counts = set()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as place:
        write_text(Path(place) / "text", args.megabytes)
        for run in range(args.runs):
            for side in sorted(SIDES, reverse=run % 2 == 0):
                used, counted = seconds_of(Path(place) / f"{run}-{side}", Path(place) / "text", side, args.workers)
                seconds[side].append(used)
                counts.add(counted)
    ratios = [engine / plain for plain, engine in zip(*seconds.values(), strict=True)]
    table = Table("counted by", "CPU seconds (median)", "of the plain count (median of pairs; least; most)")
    for side, runs in seconds.items():
        shown = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}; {max(ratios):.2f})" if side == "datatrove" else ""
        table.add_row(side, f"{statistics.median(runs):.1f}", shown)
    Console(width=110).print(table)
    if args.json:
        args.json.write_text(json.dumps({"seconds": seconds, "ratios": ratios}, indent=1) + "\n", encoding="utf-8")
    if len(counts) > 1:
        print("The sides counted differently.", file=sys.stderr)
    return int(len(counts) > 1)


if __name__ == "__main__":
    sys.exit(main())
