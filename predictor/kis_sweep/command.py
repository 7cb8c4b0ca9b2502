"""``kis sweep``: plan a sweep, run it, see how far it is, and let the predictor choose what to run next."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.terminal import AS_JSON, console, refusal_as_json
from kis_predict.options import Amount
from kis_sweep.plan_command import PATH, end_in_order, plan

if TYPE_CHECKING:
    from kis_sweep.added_runs import Wave

__all__ = ["sweep"]

_FOLDER = click.argument("sweep", type=PATH)


@click.group(name="sweep", context_settings={"help_option_names": ["-h", "--help"]})
def sweep() -> None:
    """Plan and run a sweep of small models for kis-predict.

    \b
    kis sweep plan --sizes 1M,3M,10M --frequency 4..4096 --facts facts.jsonl --text corpus/ -o sweep/
    kis sweep run sweep/
    kis sweep next sweep/ --target 7B
    kis-predict --logs sweep/runs --target 7B
    """  # noqa: D301 (click's mark for lines that stay as they are)


sweep.add_command(plan)


@sweep.command()
@_FOLDER
@click.option(
    "--engine", type=click.Choice(["local", "ray", "slurm"]), default="local", show_default=True, help="Who runs them."
)
@click.option("--only", multiple=True, metavar="NAME", help="A run by its name; repeatable.  [default: all]")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads of a run.")
@click.option("--jobs", type=click.IntRange(1), help="local: runs at a time.  [default: what cores or GPUs take]")
@click.option("--gpus", metavar="LIST", help="local: GPUs to use, 0,1.  [default: those that torch sees]")
@click.option("--per-gpu", type=click.IntRange(1), default=1, show_default=True, help="Runs that share a GPU.")
@click.option("--address", metavar="ADDRESS", help="ray: the cluster's.  [default: one is begun on this machine]")
@click.option(
    "--slurm",
    "parameters",
    multiple=True,
    metavar="KEY=VALUE",
    help="slurm: for submitit, timeout_min=120; repeatable.",
)
@click.option(
    "--cluster", type=click.Choice(["slurm", "local"]), default="slurm", help="slurm: local is submitit without SLURM."
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
    """Run what is not finished yet. Stopped runs go on from their last checkpoint, finished ones stay as they are.

    A run that fails is tried once more; the others are not held up by it. Exit code 1 if any failed in the end.
    """
    from kis_sweep.display import live, show_failed
    from kis_sweep.engines import ENGINES, Places
    from kis_sweep.folder import runs_of
    from kis_sweep.run_all import run_sweep

    visible = tuple(gpus.split(",")) if gpus else _gpus() if engine == "local" else ()
    places = Places(threads, jobs, visible, per_gpu, address, cluster, _parameters(parameters))
    sweep = sweep.resolve()
    end_in_order()
    broken: list[Problem] = []
    try:
        with live(runs_of(sweep, [])) as ended:
            result = run_sweep(sweep, ENGINES[engine], places, ended, only, broken)
    except KeyboardInterrupt:
        click.echo(f"Interrupted. kis sweep run {sweep} continues from the last checkpoints.", err=True)
        raise
    _show_broken(broken)
    before = f" {result.before} had been before." if result.before else ""
    click.echo(f"Finished {result.finished} run{'' if result.finished == 1 else 's'}.{before}")
    if result.failed:
        show_failed(result.failed, console())
    if result.failed or broken:
        raise SystemExit(1)
    click.echo(f"Next: kis predict --logs {sweep / 'runs'} --target 7B")


def _show_broken(broken: Sequence[Problem]) -> None:
    """Say which folders hold no run that can be read; the others are not held up by them."""
    for problem in broken:
        click.echo(f"kis: left out: {problem}", err=True)


@sweep.command()
@_FOLDER
@AS_JSON
def status(sweep: Path, as_json: bool) -> None:
    """Show how far each run has come, and what it says so far."""
    from kis_sweep.display import state_object, states_table
    from kis_sweep.folder import runs_of, states_of

    broken: list[Problem] = []
    with refusal_as_json(as_json):
        states = states_of(runs_of(sweep, broken))
    _show_broken(broken)
    if as_json:
        click.echo(json.dumps({"status": "ok", "runs": [state_object(state) for state in states]}, indent=2))
    else:
        console().print(states_table(states))


@sweep.command(name="next")
@_FOLDER
@click.option("--target", type=Amount(), required=True, help="Size of the large model, all parameters.")
@click.option("--count", "-k", type=click.IntRange(1, 100), default=8, show_default=True, help="Runs to add.")
@click.option("--new-sizes", is_flag=True, help="Sizes that the sweep does not have may be added too.")
@click.option("--dry-run", is_flag=True, help="Say which, add none.")
@AS_JSON
def next_wave(sweep: Path, target: int, count: int, new_sizes: bool, dry_run: bool, as_json: bool) -> None:
    """Ask the predictor which runs would help most, and add them to the sweep.

    Exits with 0 when runs were added, with 1 when it knows of none that would help.
    """
    from kis_sweep.added_runs import next_runs_of

    with refusal_as_json(as_json):
        wave = next_runs_of(sweep.resolve(), target, count, new_sizes, dry_run)
    _tell(wave, dry_run, as_json)


@sweep.command()
@_FOLDER
@click.option("--sizes", metavar="LIST", help="Model sizes.  [default: those of the sweep]")
@click.option("--frequency", required=True, metavar="LIST", help="Exposures per fact, as plan takes them.")
@click.option("--points", type=click.IntRange(2), default=10, show_default=True, help="Frequencies of a range.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="That each of them is to have.")
@click.option("--dry-run", is_flag=True, help="Say which, add none.")
@AS_JSON
def add(sweep: Path, sizes: str | None, frequency: str, points: int, seeds: int, dry_run: bool, as_json: bool) -> None:
    """Add runs of your own choice: frequencies, seeds, sizes. Those that the sweep has already stay as they are.

    Exits with 0 when runs were added, with 1 when there was none to add.
    """
    from kis_sweep.added_runs import wanted_runs
    from kis_sweep.grid import parse_frequencies, parse_sizes

    with refusal_as_json(as_json):
        frequencies, wanted = parse_frequencies(frequency, points), parse_sizes(sizes) if sizes is not None else None
        wave = wanted_runs(sweep.resolve(), wanted, frequencies, seeds, dry_run)
    _tell(wave, dry_run, as_json)


def _tell(wave: Wave, dry_run: bool, as_json: bool) -> None:
    """Show what was added; exit with 1 if nothing was."""
    from kis_sweep.display import show_wave, wave_object

    if as_json:
        click.echo(json.dumps(wave_object(wave), indent=2))
    else:
        show_wave(wave, console(), dry_run)
    if not wave.added:
        raise SystemExit(1)


def _gpus() -> tuple[str, ...]:
    """Return the GPUs that torch sees, if torch is there."""
    try:
        import torch
    except ImportError:
        return ()
    return tuple(map(str, range(torch.cuda.device_count())))


def _parameters(given: tuple[str, ...]) -> dict[str, Any]:
    """Read KEY=VALUE; whole numbers as such."""
    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise KISError(Problem("--slurm", repr(text), "KEY=VALUE, such as timeout_min=120"))
        found[key.strip()] = int(value) if value.strip().isdigit() else value.strip()
    return found
