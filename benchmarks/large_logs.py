"""Memory and speed of reading a run log of any size: by kis-predict, and by kis show and kis sweep status.

    python -m benchmarks large_logs --gigabytes 2

A run log with one evaluation after the other is written to a temporary folder, plain or compressed, and read in a
process of its own. The peak memory is that of the whole process, its imports included.
"""

from __future__ import annotations

import argparse
import gzip
import json
import lzma
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.table import Table

__all__ = ["main"]

OPENERS: dict[str, Callable[[Path], IO[Any]]] = {
    "": partial(open, mode="wb"),
    ".gz": partial(gzip.open, mode="wb", compresslevel=1),
    ".xz": partial(lzma.open, mode="wb", preset=0),
}
RUN = {"type": "run", "run_id": "large", "params": 10**6, "tokens": 10**9, "frequency": 64, "schema": 2}
SERIES = ("held_out", "seen", "control", "held_out/relation/P19", "held_out/relation/P36")


def main(argv: list[str]) -> int:
    """Print a table."""
    options = argparse.ArgumentParser(prog="python -m benchmarks large_logs", description=__doc__)
    options.add_argument("--gigabytes", type=float, default=2.0, help="size of the log, decompressed")
    options.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--reader", choices=READERS, help=argparse.SUPPRESS)
    args = options.parse_args(argv)
    if args.read:
        return _read(args.read, READERS[args.reader])
    table = Table("log", "read by", "MB on disk", "MB of text", "CPU seconds", "MB a second", "peak MB")
    for ending in OPENERS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"kis.jsonl{ending}"
            size = _write(path, int(args.gigabytes * 1e9))
            for reader in READERS:
                command = [sys.executable, "-m", "benchmarks", "large_logs", "--read", str(path), "--reader", reader]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                seconds, peak, retention = json.loads(done.stdout)
                if retention != 0.75:
                    raise AssertionError(f"{path.name}: retention {retention}, expected that of the last record, 0.75")
                megabytes = [f"{value / 1e6:,.0f}" for value in (path.stat().st_size, size)]
                rate = size / 1e6 / seconds
                table.add_row(path.name, reader, *megabytes, f"{seconds:.1f}", f"{rate:.0f}", f"{peak:.0f}")
    Console(width=120).print(table)
    return 0


def _write(path: Path, size: int) -> int:
    """Write a run log of about ``size`` bytes; return how many they are."""
    end = {"type": "end", "status": "completed", "step": 10**6, "tokens": 10**9, "miscounted": 0}
    written = 0
    with OPENERS[path.suffix if path.suffix != ".jsonl" else ""](path) as file:

        def put(text: str) -> None:
            nonlocal written
            written += file.write(text.encode())

        put(json.dumps(RUN) + "\n")
        step = 0
        while written < size:
            step += 1
            put("".join(_record(step, series, 0.5) for series in SERIES * 200))
        put(_record(10**6, "held_out", 0.75) + json.dumps(end) + "\n")
    return written


def _record(step: int, series: str, accuracy: float) -> str:
    values = {"accuracy": accuracy, "n": 1000, "correct": round(1000 * accuracy), "margin": 0.123456789, "chance": 0.25}
    return json.dumps({"type": "retention", "step": step, "tokens": step * 1000, "probe": series, **values}) + "\n"


def _predict(path: Path) -> float | None:
    from kis_predict import read_runs

    (run,) = read_runs([path])
    return run.retention


def _show(path: Path) -> float | None:
    from kis_plugin.summary.places import histories_at

    (history,) = histories_at([path], lambda line: None)
    last = history.last("held_out")
    return last.accuracy if last else None


READERS: dict[str, Callable[[Path], float | None]] = {"kis-predict": _predict, "kis show": _show}


def _read(path: Path, reader: Callable[[Path], float | None]) -> int:
    """Read a log; print CPU seconds, peak memory in MB and the retention found, as JSON."""
    start = time.process_time()
    retention = reader(path)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    print(json.dumps([seconds, peak, retention]))
    return 0
