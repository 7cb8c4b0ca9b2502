"""Output of ``kis sweep``: costs of a plan, live progress, results so far, added runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn

from kis_plugin.amounts import short
from kis_plugin.storage.terminal import progress, table
from kis_predict.report.texts import not_worth_it
from kis_sweep.added_runs import AddedRuns
from kis_sweep.base_data import Watch
from kis_sweep.folder import State
from kis_sweep.planning import Planned
from kis_sweep.run_spec import SweepRun

__all__ = [
    "added_object", "costs", "show_added", "show_failed", "show_plan", "watching",
]  # fmt: skip


def costs(planned: Planned) -> dict[str, Any]:
    """Return the costs of a plan as plain values; seconds are those of all runs in sequence."""
    runs, seconds = planned.runs, [_seconds(run, planned) for run in planned.runs]
    known = [value for value in seconds if value is not None]
    return {
        "runs": [
            {
                "name": run.name,
                "params": run.shape.params,
                "params_non_embedding": run.shape.params_non_embedding,
                "tokens": run.recipe.tokens,
                "steps": run.recipe.steps,
                "frequency": run.frequency,
                "seed": run.recipe.seed,
                "share": run.frequency * planned.settings.exposure / run.recipe.tokens,
                "flops": run.flops,
                "seconds": value,
            }
            for run, value in zip(runs, seconds, strict=True)
        ],
        "flops": sum(run.flops for run in runs),
        "seconds": sum(known) if len(known) == len(runs) else None,
        "grid_flops": sum(run.flops for run in planned.grid),
        "left_out": [run.name for run in planned.left_out],
    }


def show_plan(planned: Planned, out: Console) -> None:
    """Print sizes, frequencies and costs."""
    shown = table(
        "N", "non-embedding", "shape", "D", "steps", "runs", "F", "share", "FLOPs", "per run", numbers=range(10)
    )
    for params in sorted({run.shape.params for run in planned.runs}):
        runs = [run for run in planned.runs if run.shape.params == params]
        shape, recipe = runs[0].shape, runs[0].recipe
        infused = [run.frequency for run in runs if run.frequency]
        most = max(infused, default=0.0)
        span = " to ".join(f"{end:g}" for end in sorted({min(infused), most})) if infused else "0"
        shown.add_row(
            f"{params:,}",
            f"{shape.params_non_embedding:,}",
            f"{shape.layers} x {shape.width}",
            short(recipe.tokens),
            f"{recipe.steps:,}",
            str(len(runs)),
            span,
            f"to {most * planned.settings.exposure / recipe.tokens:.2g}",
            f"{sum(run.flops for run in runs):.2g}",
            _time(_seconds(runs[0], planned)),
        )
    out.print(shown)
    cost = costs(planned)
    time = f", about {_time(cost['seconds'])} in sequence on this machine" if cost["seconds"] else ""
    out.print(f"{_runs(len(planned.runs))}, {cost['flops']:.2g} FLOPs{time}.")
    if len(planned.grid) > len(planned.runs):
        out.print(f"The full grid has {len(planned.grid)} runs and takes {cost['grid_flops']:.2g} FLOPs.")
    if planned.left_out:
        by_size = Counter(short(run.shape.params) for run in planned.left_out)
        named = ", ".join(f"{count} of N={size}" for size, count in by_size.items())
        out.print(f"Left out because their share would exceed 0.9: {named}.")
    longest = max(run.recipe.tokens for run in planned.runs)
    if longest > planned.settings.text_tokens:
        repeats = longest / planned.settings.text_tokens
        out.print(
            f"The text has {short(planned.settings.text_tokens)} tokens: the longest run reads it {repeats:.1f} times."
        )


def show_failed(failed: Sequence[State], out: Console) -> None:
    """Print why runs failed, and where their output is."""
    out.print(f"{len(failed)} failed:")
    for state in failed:
        out.print(f"  {state.run.name}: {state.reason or 'did not finish'}. See {state.run.work / 'output.txt'}")


def show_added(added: AddedRuns, out: Console, dry_run: bool) -> None:
    """Print the added runs, and the cost of the sweep with them."""
    if added.prediction and added.prediction.missing:
        few = added.prediction.collapse is None
        out.print("The runs so far are too few for a prediction:" if few else "The runs so far give no recommendation:")
        for line in added.prediction.missing:
            out.print(f"  {line}")
    if added.left_out:
        out.print(f"Left out because their share would exceed 0.9: {', '.join(run.name for run in added.left_out)}.")
    for name, reason in added.unfit.items():
        out.print(f"Left out: {name}. {reason}")
    if not added.added:
        out.print(_nothing(added))
        return
    shown = table("run", "F", "D", "FLOPs", numbers=(1, 2, 3))
    for run in added.added:
        shown.add_row(run.name, f"{run.frequency:g}", short(run.recipe.tokens), f"{run.flops:.2g}")
    out.print(shown)
    fraction = added.flops / added.grid_flops
    action = "Would add" if dry_run else "Added"
    total = f"The sweep then takes {added.flops:.2g} FLOPs, {fraction:.0%} of the full grid."
    out.print(f"{action} {_runs(len(added.added))}. {total}")


def _nothing(added: AddedRuns) -> str:
    """Return why no run was added."""
    if added.prediction is None:
        return "Nothing to add." if added.left_out else "Nothing to add: the sweep already has these runs."
    verdict = not_worth_it(added.prediction.next_runs)
    return verdict or "No further run that fits this sweep would improve the prediction."


def added_object(added: AddedRuns) -> dict[str, Any]:
    """Return added runs as plain values."""
    return {
        "status": "ok" if added.added else "nothing",
        "added": [run.name for run in added.added],
        "left_out": [run.name for run in added.left_out],
        "unfit": dict(added.unfit),
        "flops": added.flops,
        "grid_flops": added.grid_flops,
        "missing": list(added.prediction.missing) if added.prediction else [],
        "not_worth_it": not_worth_it(added.prediction.next_runs) if added.prediction else "",
    }


@contextmanager
def watching() -> Iterator[Watch]:
    """Show progress of planning as bars on stderr."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with progress(*columns) as display:
        bars: dict[str, TaskID] = {}

        def watch(task: str, done: int, total: int) -> None:
            if task not in bars:
                bars[task] = display.add_task(task, total=total)
            display.update(bars[task], completed=done, total=total)

        yield watch


def _runs(count: int) -> str:
    return f"{count:,} run{'' if count == 1 else 's'}"


def _seconds(run: SweepRun, planned: Planned) -> float | None:
    step = planned.settings.seconds.get(run.shape.params)
    return None if step is None else step * run.recipe.steps


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    units = (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0))
    name, size = next(((name, size) for name, size in units if seconds >= size), ("s", 1.0))
    return f"{seconds / size:.3g} {name}"
