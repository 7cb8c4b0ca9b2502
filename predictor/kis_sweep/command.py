"""The command ``kis sweep``: plan a sweep, run it, show its state, and let the predictor choose the next runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kis_plugin.errors import KISError, Problem
from kis_plugin.escapes import to_stderr
from kis_plugin.storage.terminal import AS_JSON, console, echo, refusal_as_json
from kis_predict.options import Amount
from kis_sweep.plan_command import PATH, plan

if TYPE_CHECKING:
    from kis_sweep.added_runs import AddedRuns

__all__ = ["sweep"]

_FOLDER = click.argument("sweep", type=PATH)


@click.group(name="sweep", context_settings={"help_option_names": ["-h", "--help"]})
def sweep() -> None:
    """Plan and run a sweep of small models for kis-predict.

    \b
    Examples:
      kis sweep plan --sizes 1M,3M,10M --frequency 4..4096 --facts facts.jsonl --text corpus/ -o sweep/
      kis sweep run sweep/
      kis sweep next sweep/ --target 7B
      kis-predict --logs sweep/runs --target 7B
    """  # noqa: D301 (click's marker for lines that are not rewrapped)


sweep.add_command(plan)


@sweep.command()
@_FOLDER
@click.option(
    "--engine",
    type=click.Choice(["local", "ray", "slurm"]),
    default="local",
    show_default=True,
    help="What executes the runs.",
)
@click.option("--only", multiple=True, metavar="NAME", help="Name of a run to execute; repeatable.  [default: all]")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads per run.")
@click.option("--jobs", type=click.IntRange(1), help="local: concurrent runs.  [default: one per core or GPU]")
@click.option("--gpus", metavar="LIST", help="local: GPUs to use, 0,1.  [default: all that torch sees]")
@click.option("--per-gpu", type=click.IntRange(1), default=1, show_default=True, help="Concurrent runs per GPU.")
@click.option("--address", metavar="ADDRESS", help="ray: address of the cluster.  [default: start one on this machine]")
@click.option(
    "--slurm",
    "parameters",
    multiple=True,
    metavar="KEY=VALUE",
    help="slurm: parameter of submitit, such as timeout_min=120; repeatable.",
)
@click.option(
    "--cluster",
    type=click.Choice(["slurm", "local"]),
    default="slurm",
    help="slurm: executor of submitit; local needs no SLURM.",
)
def run(
    sweep: Path,
    engine: str,
    only: tuple[str, ...],
    threads: int,
    jobs: int | None,
    gpus: str | None,
    per_gpu: int,
    address: str | None,
    parameters: tuple[str, ...],
    cluster: str,
) -> None:
    """Train the runs that are not finished. Stopped runs continue from their last checkpoint.

    A run that fails is retried once, after all others. Exit code 1 if any run failed both times.

    \b
    Examples:
      kis sweep run sweep/
      kis sweep run sweep/ --jobs 2 --gpus 0,1
      kis sweep run sweep/ --engine slurm --slurm timeout_min=120 --slurm slurm_partition=gpu
    """  # noqa: D301 - click reads the character, not its escape
    from kis_sweep.display import show_failed
    from kis_sweep.engines import ENGINES, Resources
    from kis_sweep.folder import runs_of
    from kis_sweep.progress.table import live, unreadable_names
    from kis_sweep.run_all import run_sweep

    visible = tuple(gpus.split(",")) if gpus else _gpus() if engine == "local" else ()
    resources = Resources(threads, jobs, visible, per_gpu, address, cluster, _parameters(parameters))
    again = f"kis sweep run {shlex.quote(str(sweep))}"
    sweep = sweep.resolve()
    broken: list[Problem] = []
    runs = runs_of(sweep, [])
    try:
        at_once = len(resources.slots()) if engine == "local" else None
        with live(runs, _planned_seconds(sweep), unreadable_names(sweep, runs), at_once) as ended:
            result = run_sweep(sweep, ENGINES[engine], resources, ended, only, broken)
    except (KeyboardInterrupt, SystemExit):
        to_stderr(f"Interrupted. To continue from the last checkpoints: {again}")
        raise
    _show_broken(broken)
    before = f" {result.before} had finished before." if result.before else ""
    echo(f"Finished {result.finished} run{'' if result.finished == 1 else 's'}.{before}")
    if result.failed:
        show_failed(result.failed, console())
        echo(f"Next, once the reason is mended: {again}")
    if result.failed or broken:
        raise SystemExit(1)
    echo(f"Next: kis predict --logs {shlex.quote(str(sweep / 'runs'))} --target 7B")


def _planned_seconds(sweep: Path) -> Mapping[int, float]:
    """Return the seconds per step that planning measured, by size; none where ``sweep.yaml`` does not have them."""
    from kis_sweep.settings import settings_of

    try:
        return settings_of(sweep).seconds
    except KISError:  # they serve an estimate only: runs are trained from their own files
        return {}


def _show_broken(broken: Sequence[Problem]) -> None:
    """Warn about folders whose run cannot be read; the other runs are not affected."""
    for problem in broken:
        to_stderr(f"kis: left out: {problem}")


@sweep.command()
@_FOLDER
@AS_JSON
def status(sweep: Path, as_json: bool) -> None:
    """Show the progress and the latest results of each run.

    \b
    Examples:
      kis sweep status sweep/
    """  # noqa: D301 - click reads the character, not its escape
    from kis_sweep.folder import runs_of, states_of
    from kis_sweep.progress.course import courses_of
    from kis_sweep.progress.table import course_object, courses_table, summary_of, unreadable_names

    broken: list[Problem] = []
    with refusal_as_json(as_json):
        runs = runs_of(sweep, broken)
        courses = courses_of(states_of(runs))
    unreadable = unreadable_names(sweep, runs)
    _show_broken(broken)
    if as_json:
        rows = [course_object(course) for course in courses] + [
            {"name": name, "state": "unreadable"} for name in unreadable
        ]
        click.echo(json.dumps({"status": "ok", "runs": rows}, indent=2))
        return
    out = console()
    out.print(courses_table(courses, unreadable))
    out.print(f"{summary_of(courses, _planned_seconds(sweep), unreadable)}.")
    for course in courses:
        if course.state.state == "failed":
            out.print(f"{course.state.run.name}: {course.state.reason or 'did not finish'}")
    if next_step := _next_step([course.state.state for course in courses]):
        out.print(f"Next: {next_step.format(sweep=shlex.quote(str(sweep)), runs=shlex.quote(str(sweep / 'runs')))}")


def _next_step(states: Sequence[str]) -> str:
    """Return the command that leads on from runs in these states."""
    if "running" in states:
        return ""
    if all(state == "finished" for state in states):
        return "kis predict --logs {runs} --target 7B"
    return "kis sweep run {sweep}"


@sweep.command(name="next")
@_FOLDER
@click.option("--target", type=Amount(), required=True, help="Size of the large model, all parameters.")
@click.option(
    "--count", "-k", type=click.IntRange(1, 100), default=8, show_default=True, help="Maximum number of runs to add."
)
@click.option("--new-sizes", is_flag=True, help="Allow sizes that the sweep does not have.")
@click.option("--dry-run", is_flag=True, help="Show the runs without adding them.")
@AS_JSON
def next_runs(sweep: Path, target: int, count: int, new_sizes: bool, dry_run: bool, as_json: bool) -> None:
    """Add the runs that would narrow the prediction most, until no run is worth its cost.

    Exits with 0 if runs were added, with 1 if no further run would help, or if all --count runs together would leave
    the target's interval more than 95 % as wide as it is.

    \b
    Examples:
      kis sweep next sweep/ --target 7B
      kis sweep next sweep/ --target 7B --count 4 --new-sizes --dry-run
    """  # noqa: D301 - click reads the character, not its escape
    from kis_sweep.added_runs import next_runs_of

    with refusal_as_json(as_json):
        added = next_runs_of(sweep.resolve(), target, count, new_sizes, dry_run)
    _report(added, dry_run, as_json)


@sweep.command()
@_FOLDER
@click.option("--sizes", metavar="LIST", help="Model sizes.  [default: those of the sweep]")
@click.option("--frequency", required=True, metavar="LIST", help="Exposures per fact, as for plan.")
@click.option("--points", type=click.IntRange(2), default=10, show_default=True, help="Frequencies per range.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Seeds per size and frequency.")
@click.option("--dry-run", is_flag=True, help="Show the runs without adding them.")
@AS_JSON
def add(sweep: Path, sizes: str | None, frequency: str, points: int, seeds: int, dry_run: bool, as_json: bool) -> None:
    """Add runs of given frequencies, seeds and sizes. Runs that the sweep already has are not changed.

    Exits with 0 if runs were added, with 1 if there was none to add.

    \b
    Examples:
      kis sweep add sweep/ --frequency 64,128 --seeds 2
      kis sweep add sweep/ --sizes 3M --frequency 16..256 --points 4 --dry-run
    """  # noqa: D301 - click reads the character, not its escape
    from kis_sweep.added_runs import requested_runs
    from kis_sweep.grid import parse_frequencies, parse_sizes

    with refusal_as_json(as_json):
        frequencies, params = parse_frequencies(frequency, points), parse_sizes(sizes) if sizes is not None else None
        added = requested_runs(sweep.resolve(), params, frequencies, seeds, dry_run)
    _report(added, dry_run, as_json)


def _report(added: AddedRuns, dry_run: bool, as_json: bool) -> None:
    """Print the added runs; exit with 1 if there are none."""
    from kis_sweep.display import added_object, show_added

    if as_json:
        click.echo(json.dumps(added_object(added), indent=2))
    else:
        show_added(added, console(), dry_run)
    if not added.added:
        raise SystemExit(1)


def _gpus() -> tuple[str, ...]:
    """Return the GPUs that torch sees; none if torch is not installed."""
    try:
        import torch
    except ImportError:
        return ()
    return tuple(map(str, range(torch.cuda.device_count())))


def _parameters(given: tuple[str, ...]) -> dict[str, Any]:
    """Parse KEY=VALUE options; whole numbers become integers."""
    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise KISError(Problem("--slurm", repr(text), "KEY=VALUE, such as timeout_min=120"))
        found[key.strip()] = int(value) if value.strip().isdigit() else value.strip()
    return found
