"""The main job in small: a sweep of tiny models through the Trainer callback, then kis-predict on its logs.

    python examples/demo.py --out demo-out

Everything is real and small: shipped English text, shipped facts, models of 0.1 to 0.3 million parameters, each trained
in well under a minute on one core. Whatever these runs show is what is printed. Where they show too little to predict
from, kis-predict says so; the demo then asks it about the sweep of examples/study.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import sweep
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
STUDY = HERE / "study"
SHAPES = "2x32,2x48,3x64"
FREQUENCIES = "0,20,50,80,110,150"
TOKENS = 700_000


def table_of(results: list[dict[str, object]]) -> Table:
    """Return held-out retention by size and frequency."""
    sizes = sorted({int(str(result["params"])) for result in results})
    table = Table(title="Held-out retention at the end (seen; control; general loss)", title_justify="left")
    table.add_column("F", justify="right")
    for size in sizes:
        table.add_column(f"N = {size:,}", justify="right")
    by_place = {(result["params"], result["cell"]["frequency"]): result for result in results}  # type: ignore[index]
    for frequency in sorted({key[1] for key in by_place}):
        cells = [by_place[size, frequency] for size in sizes]
        table.add_row(
            f"{frequency:g}",
            *(f"{r['held_out']:.3f} ({r['seen']:.2f}; {r['control']:.2f}; {r['loss']:.2f})" for r in cells),
        )
    return table


def predict(logs: Path, target: str) -> int:
    """Run kis-predict as a user would; return its exit code."""
    command = [str(Path(sys.executable).with_name("kis-predict")), "--logs", os.path.relpath(logs), "--target", target]
    print(f"\n$ kis-predict {' '.join(command[1:])}", flush=True)
    return subprocess.run(command, check=False).returncode


def main() -> None:
    """Sweep, show, predict."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--out", type=Path, default=Path("demo-out"), help="folder for everything (default: %(default)s)"
    )
    out = options.parse_args().out
    console, started = Console(), time.monotonic()
    console.print("1. Tokenizer and rows from examples/data/text.txt.xz, facts from examples/data/facts.jsonl")
    args = sweep.parser().parse_args(
        ["--out", str(out), "--shapes", SHAPES, "--frequencies", FREQUENCIES, "--tokens", str(TOKENS)]
    )
    sweep.prepare(out, args)
    cells = sweep.cells_of(args)
    console.print(f"2. {len(cells)} runs of {TOKENS:,} tokens: 3 sizes, {FREQUENCIES} exposures of {args.facts} facts")
    results = sweep.run_cells(cells, args.workers)
    console.print(table_of(results))
    console.print(
        f"Each fact was shown exactly F times: {exact(out)} of {len(cells)} run logs say so in their last line."
    )
    console.print(f"{time.monotonic() - started:.0f} s so far. 3. What do these runs predict for 10M parameters?")
    if predict(out / "runs", "10M"):
        console.print(
            "\nThat is an answer too: runs this small and short settle no law. 4. The same from the study's "
            f"sweep, longer runs; its commands, commit and hardware: {os.path.relpath(STUDY / 'README.md')}"
        )
        if predict(STUDY / "runs", "10M"):
            console.print(
                "\nMeasured, and still too little to stake a large run on: the runs to add stand above. A full "
                "recommendation, from a sweep that is simulated and says so: docs/predicting.md"
            )
    console.print(f"\nDone in {time.monotonic() - started:.0f} s. Logs: {out}/runs", highlight=False)


def exact(out: Path) -> int:
    """Return the number of run logs whose facts were all shown as often as was asked."""
    count = 0
    for path in (out / "runs").rglob("kis.jsonl"):
        first, *_, last = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        shown = last.get("achieved_frequency", {})
        count += shown.get("min") == shown.get("max") == first["frequency"]
    return count


if __name__ == "__main__":
    main()
