"""What KIS costs a run of several processes: step time with and without it, counting, and writing the counts.

python -m benchmarks sharded
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kis_plugin.config.schema import InfusionConfig
from kis_plugin.infusion.exposure_counter import ExposureCounter
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.infusion.schedules import Uniform
from kis_plugin.run.exposure_file import SavedExposures, read_exposures, write_exposures
from kis_plugin.testing.small_knowledge import write_facts
from kis_plugin.tokenized.texts import TokenizedTexts

ROOT = Path(__file__).parents[1]
PARTS = ("steps", "counting", "writing")
STRATEGIES = ("ddp", "fsdp2")
TEXT, ROW = 24, 1024  # tokens
ANNOUNCED = (100, 10_000, 50_000)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks sharded", description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=PARTS, action="append", help="a part of it; may be given several times")
    parser.add_argument("--pairs", type=int, default=5, help="of runs with and without the callback (default: 5)")
    parser.add_argument("--steps", type=int, default=40, help="of each run (default: 40)")
    parser.add_argument("--texts", type=int, default=10_000_000, help="whose exposures are written")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args(argv)
    figures: dict[str, Any] = {}
    for part in args.only or PARTS:
        figures[part] = MEASURES[part](args)
        print(f"{part}: {json.dumps(figures[part])}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def step_times(args) -> dict[str, Any]:
    """Return, for each strategy, the seconds of a step and the ratio with to without: medians over paired runs."""
    found = {}
    for strategy in STRATEGIES:
        with tempfile.TemporaryDirectory() as folder:
            write_facts(Path(folder))
            command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
            command += [str(ROOT / "benchmarks" / "sharding" / "rank.py"), folder, strategy]
            paths = os.pathsep.join(map(str, [ROOT, ROOT / "adapters", ROOT / "predictor"]))
            environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
            done = subprocess.run(
                [*command, str(args.pairs), str(args.steps)], env=environment, capture_output=True, text=True
            )
            if done.returncode:
                raise SystemExit(done.stderr[-3000:])
            pairs = json.loads((Path(folder) / f"{strategy}.json").read_text())
        found[strategy] = {clock: compared(pairs, clock) for clock in ("wall", "cpu")}
    return found


def compared(pairs: Sequence[dict[str, Any]], clock: str) -> dict[str, float]:
    """Return the median seconds of a step without the callback, and the median ratio of the pairs, and its range."""
    medians = np.array([[np.median(pair[side][clock]) for side in ("without", "with")] for pair in pairs])
    ratios = medians[:, 1] / medians[:, 0]
    return {
        "seconds": round(float(np.median(medians[:, 0])), 5),
        "ratio": round(float(np.median(ratios)), 3),
        "least": round(float(ratios.min()), 3),
        "most": round(float(ratios.max()), 3),
    }


def counting(args) -> dict[str, Any]:
    """Return CPU milliseconds of counting a batch of 8 rows, by how many rows are announced, and what stays of them."""
    plan = _plan()
    found: dict[str, Any] = {}
    base = np.arange(10_000, 10_000 + ROW)
    for announced in ANNOUNCED:
        counter, times = ExposureCounter(plan), []
        counter.expect(range(announced))
        for first in range(0, 400, 8):
            counter.expect(range(announced + first, announced + first + 8))
            rows = [plan.place(row, base).joined(plan.place(row, base).tokens, base) for row in range(first, first + 8)]
            batch = np.stack(rows).astype(np.int64)
            start = time.process_time()
            counter.see(batch)
            times.append(1000 * (time.process_time() - start))
        found[f"{announced}"] = round(float(np.median(times)), 3)
    # A loader that is given up: a thousand rows that it announced are never used, and another one goes on behind them.
    counter, most = ExposureCounter(plan), 0
    counter.expect(range(1000))
    for first in range(1000, 8000, 8):
        counter.expect(range(first, first + 8))
        rows = [plan.place(row, base).joined(plan.place(row, base).tokens, base) for row in range(first, first + 8)]
        counter.see(np.stack(rows).astype(np.int64))
        most = max(most, len(counter))
    found |= {"most announcements kept": most, "announcements kept at the end": len(counter)}
    return found


def _plan() -> InfusionPlan:
    """Return a plan that fills each of 60,000 rows with two texts of its own."""
    texts = 5000
    tokens = np.arange(texts * TEXT, dtype=np.int32) % 9000 + 1
    offsets = np.arange(texts + 1, dtype=np.int64) * TEXT
    stored = TokenizedTexts(tokens, offsets, np.arange(texts), np.ones(texts, dtype=np.uint8), 1, None, "benchmark")
    rows_of_round = texts // (ROW // TEXT)
    return InfusionPlan(stored, InfusionConfig(frequency=60_000 // rows_of_round), Uniform(), 60_480, ROW, 0)


def writing(args) -> dict[str, Any]:
    """Return wall and CPU seconds of writing the exposures of many texts, and of reading them."""
    counts = np.random.default_rng(0).integers(0, 17, args.texts)
    found: dict[str, list[float]] = {"wall": [], "cpu": [], "read": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "exposures-1.npz"
        for _ in range(7):
            start = time.perf_counter(), time.process_time()
            write_exposures(path, SavedExposures(counts))
            found["wall"].append(time.perf_counter() - start[0])
            found["cpu"].append(time.process_time() - start[1])
            start = time.perf_counter(), time.process_time()
            saved = read_exposures(path)
            found["read"].append(time.perf_counter() - start[0])
            if isinstance(saved, str) or not np.array_equal(saved.counts, counts):
                raise SystemExit("what was read is not what was written")
        size = path.stat().st_size
    medians: dict[str, Any] = {name: round(float(np.median(values)), 3) for name, values in found.items()}
    return medians | {"most wall": round(max(found["wall"]), 3), "bytes": size, "texts": args.texts}


MEASURES = {"steps": step_times, "counting": counting, "writing": writing}


if __name__ == "__main__":
    raise SystemExit(main())
