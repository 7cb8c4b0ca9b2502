"""How often is ``retention.guard`` wrong? Real runs of tiny models, judged by questions that it never sees.

    python -m benchmarks guard

Runs use the Trainer's callback, with the guard set to ``warn``. The guard probes 160 of 300 infused facts. A witness
probes others; ``benchmarks/guarding/fate.py`` classifies a run by them: it collapses, forgets, or keeps what it knows.
A false alarm is a reported collapse of a run that keeps. A miss is a run that collapses without an alarm.
All answers are recorded, so that the same runs are judged under other settings too. Most scenarios go on from models in
which the infused sentences are almost learnt, since a model that knows nothing has nothing to lose.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, median

from rich.console import Console
from rich.table import Column, Table

from benchmarks.guarding.fate import FATES
from benchmarks.guarding.judged import Judged, Rate, delays, judge, rate
from benchmarks.guarding.replay import RISE, SETTINGS
from benchmarks.guarding.scenarios import SCENARIOS, Scenario
from benchmarks.guarding.training import Job, observe, prepare

RUNS = """
Runs: {steps} steps each, those of "taught" 700; evaluated at the start and after every tenth. Best and end: held-out
retention by the witness, mean of runs (chance is 0.25). Then what became of the runs by the witness, and of how many of
these the guard said collapse at its default settings; of how many it said at some time that they forget, and never
collapse."""
VERDICTS = """
Guard: with 95 % Wilson intervals. Transient: false alarms at whose step the witness too found a fall, from which the
run recovered. Delay: part of the run from the witness's best evaluation to the alarm, median and range."""
LOSS = """
General loss, max_loss_rise {rise}: runs by whether loss on another text ends more than that above its best."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train, judge and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks guard", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=10, help="of each scenario (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=120, help="of each run (default: %(default)s)")
    parser.add_argument("--only", choices=SCENARIOS, action="append", help="a scenario; may be given several times")
    parser.add_argument("--seed", type=int, default=0, help="of the first run of each scenario (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="runs at a time")
    parser.add_argument("--folder", type=Path, help="keep runs there; those it has are not made again")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args(argv)
    console = Console(width=150, highlight=False, markup=False)
    scenarios = [SCENARIOS[name] for name in args.only or SCENARIOS]
    with tempfile.TemporaryDirectory() as name:
        folder = args.folder or Path(name)
        prepare(folder)
        seeds = range(args.seed, args.seed + args.runs)
        jobs = [Job.of(one, seed, args.steps, folder) for one in scenarios for seed in seeds]
        runs = _judged(list(dict.fromkeys(jobs)), args.workers)
    console.print(RUNS.format(steps=args.steps))
    console.print(_runs_table(scenarios, runs))
    console.print(VERDICTS)
    console.print(_verdicts_table(runs))
    console.print(LOSS.format(rise=RISE))
    console.print(_loss_table(runs))
    if args.json:
        found = {"settings": {"runs": args.runs, "steps": args.steps, "seed": args.seed}}
        found["runs"] = [asdict(run) for run in runs]
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def _judged(jobs: Sequence[Job], workers: int) -> list[Judged]:
    """Make and judge runs, before them those that others start from."""
    starts = dict.fromkeys(start for job in jobs if (start := job.start) is not None)
    before = dict.fromkeys(start for job in starts if (start := job.start) is not None)
    found = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for stage in ([*before], [*starts], jobs):
            waiting = {pool.submit(_one, job): job for job in stage}
            for number, done in enumerate(as_completed(waiting), start=1):
                run, seconds = done.result()
                line = f"{number} of {len(waiting)}: {run.scenario}, seed {run.seed}: {run.fate}, {seconds:.0f} s"
                print(line, file=sys.stderr, flush=True)
                found += [run] if stage is jobs else []
    return found


def _one(job: Job) -> tuple[Judged, float]:
    trace = observe(job)
    return judge(trace), trace.seconds


def _runs_table(scenarios: Sequence[Scenario], runs: Sequence[Judged]) -> Table:
    numbers = ("runs", "best", "end", *(head for fate in FATES for head in (fate, "alarms")), "said forgetting")
    table = Table("scenario", *(Column(name, justify="right") for name in numbers))
    for scenario in scenarios:
        some = [run for run in runs if run.scenario == scenario.name]
        rates = [rate(some, fate, "default") for fate in FATES]
        table.add_row(
            scenario.name,
            str(len(some)),
            *(f"{fmean(run.heights[end] for run in some):.2f}" for end in (0, 1)),
            *(str(cell) for one in rates for cell in (one.of, one.count if one.of else "")),
            str(sum(run.forgetting for run in some)),
        )
    return table


def _verdicts_table(runs: Sequence[Judged]) -> Table:
    heads = ("settings", "false alarms", "of which transient", "detected", "delay", "alarms while forgetting")
    table = Table(*heads)
    for name in SETTINGS:
        transient = sum(run.fate == "keeps" and bool(run.fallen_then[name]) for run in runs)
        delay = delays(runs, name)
        table.add_row(
            name,
            str(rate(runs, "keeps", name)),
            str(transient),
            str(rate(runs, "collapses", name)),
            "" if delay is None else "{:.0%} ({:.0%} to {:.0%})".format(*delay),
            str(rate(runs, "forgets", name)),
        )
    return table


def _loss_table(runs: Sequence[Judged]) -> Table:
    table = Table("loss on the other text", "alarms", "delay")
    for name, risen in (("risen at the end", True), ("not risen", False)):
        some = [run for run in runs if (run.loss_onset is not None) == risen]
        alarms = [run for run in some if run.loss_alarm is not None]
        delay = sorted((run.loss_alarm - run.loss_onset) / run.steps for run in alarms) if risen else []
        cell = f"{median(delay):.0%} ({delay[0]:.0%} to {delay[-1]:.0%})" if delay else ""
        table.add_row(name, str(Rate(len(alarms), len(some))), cell)
    return table


if __name__ == "__main__":
    raise SystemExit(main())
