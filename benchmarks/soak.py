"""Kills and damage, by a seed: what KIS promises of runs, sweeps, caches and logs that meet them.

Runs of the Trainer, of a plain loop, of LitGPT where it is installed, and of a sweep are killed at random moments, in
saves and evaluations too, with map-style data and streams, 0 and 2 workers; exposures beside checkpoints are damaged.
Each is resumed until it is complete. What the final weights were trained on is counted by text search in the batches
that the model was given, and compared with the request and with the run log. Processes that prepare a cache at once
are killed; run logs are damaged. The command prints a table of faults injected and survived, and ends with exit code 1
if one was not survived.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.faults.result import Result

__all__ = ["main", "table"]

KILLS, EACH = 15, 3  # kills in all; kills of one run
PARTS = ("trainer", "loop", "litgpt", "sweep", "cache", "logs")
_CONDITIONS = ((False, 0), (True, 2), (False, 2), (True, 0))
_DAMAGED_LOGS = 10  # for each kill: it takes a hundredth of the time

Part = Callable[[Path], Result]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the soak and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--kills", type=int, default=KILLS, help=f"kills of runs and sweeps (default {KILLS})")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and damages (default 0)")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be repeated (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="parts at a time (default 2)")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the table as Markdown too")
    chosen = parser.parse_args(argv)
    names = [name for name in PARTS if name in (chosen.only or PARTS)]
    if "litgpt" in names and importlib.util.find_spec("litgpt") is None:
        print("litgpt is not installed: its runs are left out")
        names.remove("litgpt")
    started, result = time.perf_counter(), Result()
    with tempfile.TemporaryDirectory(prefix="kis-soak-") as name:
        for found in _run(_parts(names, chosen.kills, chosen.seed), Path(name), chosen.jobs):
            result.add(found)
    lines = table(result)
    print("\n".join(lines))
    for note, count in sorted(result.notes.items()):
        print(f"{note}: {count}")
    print(f"seed {chosen.seed}, {time.perf_counter() - started:.0f} s")
    for failure in result.failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    if chosen.table:
        chosen.table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 1 if result.failures else 0


def table(result: Result) -> list[str]:
    """Return the faults injected and survived, by kind, as a Markdown table."""
    rows = [(kind, count, result.survived[kind]) for kind, count in sorted(result.injected.items())]
    rows.append(("all", sum(count for _, count, _ in rows), sum(count for _, _, count in rows)))
    return [
        "| fault | injected | survived |",
        "| --- | ---: | ---: |",
        *(f"| {kind} | {injected:,} | {survived:,} |" for kind, injected, survived in rows),
    ]


def _parts(names: Sequence[str], kills: int, seed: int) -> list[Part]:
    """Share the kills among the hosts; each part has a seed of its own."""
    parts: list[Part] = []
    killed = [name for name in names if name not in ("cache", "logs")]
    for at, name in enumerate(killed):
        left = kills // len(killed) + (at < kills % len(killed))
        number = 0
        while left > 0:
            some = min(EACH, left)
            parts.append(partial(_PARTS[name], number, some, 1000 * seed + number))
            left, number = left - some, number + 1
    parts += [partial(_PARTS[name], 0, kills, seed) for name in names if name not in killed]
    return parts


def _of_run(host: str, number: int, kills: int, seed: int, folder: Path) -> Result:
    from benchmarks.faults.runs import Timeline, run_timeline

    stream, workers = _CONDITIONS[number % len(_CONDITIONS)]
    return run_timeline(Timeline(host, stream, workers, kills, seed), folder)


def _of_sweep(number: int, kills: int, seed: int, folder: Path) -> Result:
    from benchmarks.faults.sweeps import kill_sweep

    return kill_sweep(kills, seed, folder)


def _of_cache(number: int, kills: int, seed: int, folder: Path) -> Result:
    from benchmarks.faults.cache import kill_builders

    return kill_builders(kills, seed, folder)


def _of_logs(number: int, kills: int, seed: int, folder: Path) -> Result:
    from benchmarks.faults.logs import damage_logs

    return damage_logs(_DAMAGED_LOGS * kills, seed, folder)


_PARTS: dict[str, Callable[..., Result]] = {
    "trainer": partial(_of_run, "trainer"),
    "loop": partial(_of_run, "loop"),
    "litgpt": partial(_of_run, "litgpt"),
    "sweep": _of_sweep,
    "cache": _of_cache,
    "logs": _of_logs,
}


def _run(parts: Sequence[Part], folder: Path, jobs: int) -> list[Result]:
    """Run the parts in processes that are forked from a warm one: none imports torch again."""
    for module in ("torch", "transformers", "kis_hf", "kis_sweep.worker"):
        importlib.import_module(module)
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
        waiting = []
        for number, part in enumerate(parts):
            place = folder / str(number)
            place.mkdir()
            waiting.append(pool.submit(part, place))
        return [future.result() for future in waiting]


if __name__ == "__main__":
    raise SystemExit(main())
