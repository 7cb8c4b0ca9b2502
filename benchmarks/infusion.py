"""What it takes to show every fact exactly F times: KIS beside its peers, exactness, cost and loader throughput.

    python -m benchmarks infusion

Peers come with ``benchmarks/requirements-peers.txt``; one that is not installed is named, and has no figures.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.mixers import MIXERS, Mixer
from benchmarks.mixers.contract import missing, version
from benchmarks.mixers.cost import Cost
from benchmarks.mixers.cost import measure as measure_cost
from benchmarks.mixers.draws import Draws
from benchmarks.mixers.draws import measure as measure_draws
from benchmarks.mixers.exactness import WORKLOADS, Exactness
from benchmarks.mixers.exactness import measure as measure_exactness
from benchmarks.mixers.throughput import Throughput
from benchmarks.mixers.throughput import measure as measure_throughput

PARTS = ("exactness", "cost", "draws", "throughput")

EXACTNESS = """
Exactness: {rows} rows, 32 a batch over all ranks; world sizes 1, 2 and 4 in real processes, 0 and 2 workers, whole
runs and runs stopped in the middle and resumed.
Shown: the least and the most exposures of any fact in any run. Exact: facts shown as often as requested, all runs.
Gaps: standard deviation over mean of the rows between a fact's exposures; 0 is strictly periodic, 1 is chance.
Same: whether every batch shows the same facts at any world size, at any number of workers, after a resume."""
COST = """
Cost: CPU microseconds a row, without a loader: of the library's own base data, of base and facts mixed (one row in
twenty shows facts), and the difference. Rows of 16 tokens, so that mixing shows beside reading. Peers have one source
of so many facts, from which they take the next; KIS shows each of them as often as every other."""
DRAWS = """
Draws of KIS: CPU microseconds. Row: to decide whether a row is infused. Infused row: to say what it is made of.
Fact: the same for each fact in it. Rows of 1,024 tokens, as many facts in one as it holds."""
THROUGHPUT = """
Throughput: a torch DataLoader, batch 8, rows of 1,024 tokens in two columns, read by itself, no model beside it.
Plain and infused in turn, medians; the ratio by wall time, and by CPU time of the main process and its workers."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks infusion", description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=PARTS, action="append", help="a part of it; may be given several times")
    parser.add_argument("--mixer", choices=list(MIXERS), action="append", help="one of the mixers; several times too")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each kind for exactness (default: 3)")
    parser.add_argument("--source", type=int, default=100_000, help="facts of the larger measurement of cost")
    parser.add_argument("--facts", type=int, default=1_000_000, help="of the larger measurement of KIS's draws")
    parser.add_argument("--rows", type=int, default=4096, help="a run, for throughput")
    parser.add_argument("--pairs", type=int, default=7, help="of loaders, for throughput")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args(argv)
    parts = args.only or PARTS
    console = Console(width=120, highlight=False, markup=False)
    chosen = [mixer for name, mixer in MIXERS.items() if not args.mixer or name in args.mixer]
    installed = list(_installed(chosen, console))
    figures: dict[str, Any] = {
        "python": platform.python_version(),
        "versions": {mixer.name: version(mixer) for mixer in installed},
        "missing": {mixer.name: missing(mixer) for mixer in chosen if mixer not in installed},
    }
    for part in parts:
        figures[part] = _SECTIONS[part](args, installed, console)
        if args.json:
            args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for mixer in chosen:
        if mixer not in installed:
            console.print(f"{mixer.name}: not measured, not installed: {', '.join(missing(mixer))}")
    return 0


def _installed(mixers: Sequence[Mixer], console: Console) -> Iterator[Mixer]:
    for mixer in mixers:
        if missing(mixer):
            continue
        console.print(f"{mixer.name} {version(mixer)}: {mixer.note}")
        yield mixer


def _exactness(args: argparse.Namespace, mixers: Sequence[Mixer], console: Console) -> dict[str, Any]:
    found = {}
    for mixer in mixers:
        print(f"exactness: {mixer.name}", file=sys.stderr, flush=True)
        found[mixer.name] = measure_exactness(mixer.name, args.seeds)
    console.print(EXACTNESS.format(rows=f"{WORKLOADS[0].rows:,}"))
    table = Table()
    table.add_column("mixer")
    for workload in WORKLOADS:
        for column in (f"{workload.name}: shown", "exact", "gaps"):
            table.add_column(column, justify="right")
    for column in ("same at any world", "workers", "resumed"):
        table.add_column(column)
    for name, result in found.items():
        table.add_row(name, *_exactness_cells(result))
    console.print(table)
    return {name: _exactness_figures(result) for name, result in found.items()}


def _exactness_figures(result: Exactness) -> dict[str, Any]:
    if result.failure:
        return {"failure": result.failure}
    figures: dict[str, Any] = {
        workload.name: {
            "shown": result.least_and_most(workload),
            "exact": result.exact(workload),
            "gap_variation": result.gap_variation(workload),
        }
        for workload in WORKLOADS
    }
    return figures | {f"same_{what}": result.same_at_any(what) for what in ("world", "workers", "resumed")}


def _exactness_cells(result: Exactness) -> Iterator[str]:
    figures = _exactness_figures(result)
    if result.failure:
        yield f"failed: {result.failure}"
        return
    for workload in WORKLOADS:
        of = figures[workload.name]
        yield "{} to {}".format(*of["shown"])
        yield f"{of['exact']:.0%}"
        yield f"{of['gap_variation']:.2f}"
    for what in ("world", "workers", "resumed"):
        yield "yes" if figures[f"same_{what}"] else "no"


def _cost(args: argparse.Namespace, mixers: Sequence[Mixer], console: Console) -> dict[str, Any]:
    console.print(COST)
    table = Table()
    table.add_column("mixer")
    figures: dict[str, Any] = {}
    for facts in (1, args.source):
        for column in (f"{facts:,} fact{'s' * (facts > 1)}: plain", "mixed", "added"):
            table.add_column(column, justify="right")
    for mixer in mixers:
        print(f"cost: {mixer.name}", file=sys.stderr, flush=True)
        costs = {facts: measure_cost(mixer.name, facts) for facts in (1, args.source)}
        table.add_row(mixer.name, *[cell for cost in costs.values() for cell in _cost_cells(cost)])
        figures[mixer.name] = {facts: asdict(cost) for facts, cost in costs.items()}
    console.print(table)
    return figures


def _cost_cells(cost: Cost) -> tuple[str, str, str]:
    if cost.failure:
        return f"failed: {cost.failure}", "", ""
    return f"{cost.plain:.2f}", f"{cost.mixed:.2f}", f"{cost.added:.2f}"


def _draws(args: argparse.Namespace, mixers: Sequence[Mixer], console: Console) -> list[dict[str, Any]]:
    console.print(DRAWS)
    table = Table()
    for column in Draws.__dataclass_fields__:
        table.add_column(column.replace("_", " "), justify="right")
    found = [measure_draws(facts) for facts in (1, args.facts)]
    for draws in found:
        table.add_row(f"{draws.facts:,}", *[f"{value:.2f}" for value in list(asdict(draws).values())[1:]])
    console.print(table)
    return [asdict(draws) for draws in found]


def _throughput(args: argparse.Namespace, mixers: Sequence[Mixer], console: Console) -> list[dict[str, Any]]:
    console.print(THROUGHPUT)
    table = Table()
    for column in ("data", "share", "workers", "plain rows/s", "infused rows/s", "ratio, wall", "ratio, CPU"):
        table.add_column(column, justify="left" if column == "data" else "right")
    found = []
    for one in measure_throughput(args.rows, args.pairs):
        print(f"throughput: {one.data}, share {one.share}, {one.workers} workers", file=sys.stderr, flush=True)
        found.append(one)
        table.add_row(*_throughput_cells(one))
    console.print(table)
    return [asdict(one) for one in found]


def _throughput_cells(one: Throughput) -> Iterator[str]:
    yield one.data
    yield f"{one.share:g}"
    yield str(one.workers)
    yield f"{one.plain:,.0f}"
    yield f"{one.infused:,.0f}"
    yield f"{one.ratio:.3f}"
    yield f"{one.cpu_ratio:.3f}"


_SECTIONS = {"exactness": _exactness, "cost": _cost, "draws": _draws, "throughput": _throughput}

if __name__ == "__main__":
    raise SystemExit(main())
