"""Output of ``kis sweep``: costs of a plan, live progress, results so far, added runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from kis_plugin.amounts import short
from kis_plugin.retention.series import HELD_OUT, SEEN
from kis_plugin.storage.terminal import progress, safe_console, table
from kis_sweep.added_runs import AddedRuns
from kis_sweep.base_data import Watch
from kis_sweep.folder import State, states_of
from kis_sweep.planning import Planned
from kis_sweep.run_spec import SweepRun

__all__ = [
    "added_object", "costs", "live", "show_added", "show_failed", "show_plan", "state_object", "states_table",
    "watching",
]  # fmt: skip

_REFRESH = 0.5  # per second; logs are read again each time
_ROWS = 20  # maximum number of runs in the live table


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


def states_table(states: Sequence[State]) -> Table:
    """Return a table of runs with their state and latest results."""
    shown = table("run", "state", "done", "held out", "seen", "loss", numbers=(2, 3, 4, 5))
    for state in states:
        found = state_object(state)
        cells = [
            f"{found['done']:.0%}",
            *(f"{found[name]:.3f}" if found[name] is not None else "" for name in (HELD_OUT, SEEN, "loss")),
        ]
        reason = f"failed: {state.reason}" if state.state == "failed" else state.state
        shown.add_row(state.run.name, reason, *cells)
    return shown


def state_object(state: State) -> dict[str, Any]:
    """Return a run's state and latest results as plain values."""
    log = state.log
    last = {record.probe: record.accuracy for record in log.retention} if log else {}
    steps = [record.step for record in log.retention] if log else []
    return {
        "name": state.run.name,
        "state": state.state,
        "reason": state.reason,
        "done": 1.0 if state.state == "finished" else max(steps, default=0) / state.run.recipe.steps,
        HELD_OUT: last.get(HELD_OUT),
        SEEN: last.get(SEEN),
        "loss": log.loss[-1].loss if log and log.loss else None,
    }


def show_failed(failed: Sequence[State], out: Console) -> None:
    """Print why runs failed, and where their output is."""
    out.print(f"{len(failed)} failed:")
    for state in failed:
        out.print(f"  {state.run.name}: {state.reason or 'did not finish'}. See {state.run.work / 'output.txt'}")


def show_added(added: AddedRuns, out: Console, dry_run: bool) -> None:
    """Print the added runs, and the cost of the sweep with them."""
    if added.prediction and added.prediction.missing:
        out.print("The runs so far are too few for a prediction:")
        for line in added.prediction.missing:
            out.print(f"  {line}")
    if added.left_out:
        out.print(f"Left out because their share would exceed 0.9: {', '.join(run.name for run in added.left_out)}.")
    for name, reason in added.unfit.items():
        out.print(f"Left out: {name}. {reason}")
    if not added.added:
        none = "Nothing to add." if added.left_out else "Nothing to add: the sweep already has these runs."
        out.print("No further run that fits this sweep would improve the prediction." if added.prediction else none)
        return
    shown = table("run", "F", "D", "FLOPs", numbers=(1, 2, 3))
    for run in added.added:
        shown.add_row(run.name, f"{run.frequency:g}", short(run.recipe.tokens), f"{run.flops:.2g}")
    out.print(shown)
    fraction = added.flops / added.grid_flops
    action = "Would add" if dry_run else "Added"
    total = f"The sweep then takes {added.flops:.2g} FLOPs, {fraction:.0%} of the full grid."
    out.print(f"{action} {_runs(len(added.added))}. {total}")


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


@contextmanager
def live(runs: Sequence[SweepRun]) -> Iterator[Callable[[SweepRun, int], None]]:
    """Show a live table of the runs on stderr, or, where that is no terminal, a line for each run that ends."""
    out = safe_console(stderr=True)

    def ended(run: SweepRun, code: int) -> None:
        if not out.is_terminal:
            out.print(f"{run.name}: {'finished' if code == 0 else f'failed with {code}'}", highlight=False)

    if not out.is_terminal:
        yield ended
        return
    done: dict[str, State] = {}  # finished runs, whose logs no longer change and are not read again

    def current_table() -> Table:
        done.update((state.run.name, state) for state in states_of([run for run in runs if run.name not in done]))
        states = [done[run.name] for run in runs]
        for state in states:
            if state.state != "finished":
                del done[state.run.name]
        return _live_table(states)

    with Live(console=out, get_renderable=current_table, refresh_per_second=_REFRESH):
        yield ended


def _live_table(states: Sequence[State]) -> Table:
    """Return the live table: running runs first, and the count of all states below."""
    counts = Counter(state.state for state in states)
    order = {"running": 0, "interrupted": 1, "failed": 2, "finished": 3, "waiting": 4}
    shown = sorted(states, key=lambda state: order[state.state])[:_ROWS]
    found = states_table(shown)
    found.caption = ", ".join(f"{count} {state}" for state, count in counts.items())
    return found


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
