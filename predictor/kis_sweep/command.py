"""``kis sweep``: plan a sweep, run it, see how far it is, and let the predictor choose what to run next."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kis_plugin.errors import KISError, Problem
from kis_plugin.terminal import AS_JSON, console, refusal_as_json
from kis_predict.options import Amount, Open

if TYPE_CHECKING:
    from kis_sweep.training import Training

__all__ = ["sweep"]

_PATH = click.Path(path_type=Path)
_FOLDER = click.argument("sweep", type=_PATH)


@click.group(name="sweep", context_settings={"help_option_names": ["-h", "--help"]})
def sweep() -> None:
    """Plan and run a sweep of small models for kis-predict.

    \b
    kis sweep plan --sizes 1M,3M,10M --frequency 4..4096 --facts facts.jsonl --text corpus/ -o sweep/
    kis sweep run sweep/
    kis sweep next sweep/ --target 7B
    kis-predict --logs sweep/runs --target 7B
    """  # noqa: D301 (click's mark for lines that stay as they are)


@sweep.command()
@click.option("--sizes", metavar="LIST", help="Model sizes, embeddings included: 1M,3M,10M,30M.")
@click.option(
    "--from",
    "models",
    multiple=True,
    metavar="MODEL",
    help="Go on from a trained Llama, in place of --sizes; repeatable, one a size.",
)
@click.option("--frequency", required=True, metavar="LIST", help="Exposures per fact: 4..4096, or 0,16,64, or both.")
@click.option("--points", type=click.IntRange(2), default=10, show_default=True, help="Frequencies of a range.")
@click.option("--uninfused/--no-uninfused", default=True, help="A run at F = 0 of each size.  [default: there is one]")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Of the upper half of frequencies.")
@click.option("--first", type=click.IntRange(3), metavar="K", help="Begin with K frequencies a size; next adds others.")
@click.option("--tokens", type=Amount(), help="Token budget D of every run, in place of --tokens-per-param.")
@click.option("--tokens-per-param", type=Open(0, 1e6), default=20.0, show_default=True, help="Token budget: D / N.")
@click.option("--facts", type=_PATH, help="What is infused: a file or a folder of facts.")
@click.option(
    "--config", type=_PATH, help="A kis.yaml instead, for all runs; its amount, seed and run_log do not count."
)
@click.option(
    "--text", "texts", type=_PATH, multiple=True, required=True, help="Base text, .txt or .jsonl; repeatable."
)
@click.option(
    "--held-out-text", type=_PATH, multiple=True, help="General text not trained on.  [default: the last 1 %]"
)
@click.option(
    "--tokenizer", metavar="NAME", help="A folder or a name.  [default: one is trained on the text, or the models']"
)
@click.option("--vocabulary", type=click.IntRange(512), default=8192, show_default=True, help="Of a trained tokenizer.")
@click.option("--block", type=click.IntRange(16), default=256, show_default=True, help="Tokens of a row.")
@click.option("--batch-tokens", type=Amount(), help="Tokens of a step.  [default: 500 steps or more for every size]")
@click.option("--rate", type=Open(0, 1e3), default=0.5, show_default=True, help="Learning rate times the width.")
@click.option("--precision", type=click.Choice(["32", "bf16"]), default="32", show_default=True, help="Of training.")
@click.option("--compile", "compiled", is_flag=True, help="Compile the models.")
@click.option("--saves", type=click.IntRange(1), default=4, show_default=True, help="Checkpoints of a run.")
@click.option("--keep-models", is_flag=True, help="Keep trained models, for kis probe.")
@click.option("--framework", default="hf", show_default=True, help="What trains them: hf, litgpt, or a plugin's.")
@click.option(
    "--time/--no-time", "timed", default=True, help="Time a few steps of each size.  [default: they are timed]"
)
@click.option("--output", "-o", type=_PATH, required=True, help="The sweep's folder, new or empty.")
@AS_JSON
def plan(
    sizes: str | None,
    models: tuple[str, ...],
    frequency: str,
    points: int,
    uninfused: bool,
    seeds: int,
    first: int | None,
    facts: Path | None,
    config: Path | None,
    texts: tuple[Path, ...],
    held_out_text: tuple[Path, ...],
    tokenizer: str | None,
    batch_tokens: int | None,
    timed: bool,
    output: Path,
    as_json: bool,
    **training: Any,
) -> None:
    """Write one configuration for each run of a grid, and say what it will cost."""
    from kis_sweep.grid import cells_of, first_wave, parse_frequencies, parse_sizes
    from kis_sweep.plan import rows_of_a_step
    from kis_sweep.planning import plan_sweep
    from kis_sweep.shown import costs, show_plan, watching
    from kis_sweep.training import trained_shapes

    _end_in_order()
    if (facts is None) == (config is None):
        raise click.UsageError("Say what is infused once: --facts, or --config.")
    if (sizes is None) != bool(models):
        raise click.UsageError("Say what is trained once: --sizes, or --from for models that are trained already.")
    with refusal_as_json(as_json):
        frequencies = parse_frequencies(frequency, points)
        frequencies = sorted({0.0, *frequencies} if uninfused else frequencies)
        if not any(frequencies):
            raise KISError(Problem("--frequency", frequency, "some above 0"))
        recipe = _training(training, models)
        params = parse_sizes(sizes) if sizes is not None else sorted(trained_shapes(recipe))
        cells = cells_of(params, frequencies, seeds)
        begin = set(frequencies if first is None else first_wave(frequencies, first))
        with watching() as watch:
            planned = plan_sweep(
                output,
                config or {"knowledge": (facts or Path()).resolve()},
                texts,
                held_out_text,
                tokenizer,
                cells,
                lambda cell: cell.frequency in begin and (first is None or cell.seed == 0),
                replace(recipe, batch=rows_of_a_step(recipe.budget(min(params)), recipe.block, batch_tokens)),
                timed,
                watch,
            )
    if as_json:
        click.echo(json.dumps({"status": "ok", **costs(planned)}, indent=2))
    else:
        show_plan(planned, console())
        click.echo(f"Next: kis sweep run {shlex.quote(str(output))}")


def _training(options: dict[str, Any], models: Sequence[str]) -> Training:
    from kis_sweep.training import Training

    places = tuple(str(Path(model).resolve()) if Path(model).exists() else model for model in models)
    return Training(batch=1, compile=options.pop("compiled"), models=places, **options)


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
    from kis_sweep.engines import ENGINES, Places
    from kis_sweep.folder import runs_of
    from kis_sweep.shown import live, show_failed
    from kis_sweep.sweeping import run_sweep

    visible = tuple(gpus.split(",")) if gpus else _gpus() if engine == "local" else ()
    places = Places(threads, jobs, visible, per_gpu, address, cluster, _parameters(parameters))
    sweep = sweep.resolve()
    _end_in_order()
    with live(runs_of(sweep)) as ended:
        result = run_sweep(sweep, ENGINES[engine], places, ended, only)
    before = f" {result.before} had been before." if result.before else ""
    click.echo(f"Finished {result.finished} run{'' if result.finished == 1 else 's'}.{before}")
    if result.failed:
        show_failed(result.failed, console())
        raise SystemExit(1)


@sweep.command()
@_FOLDER
@AS_JSON
def status(sweep: Path, as_json: bool) -> None:
    """Show how far each run has come, and what it says so far."""
    from kis_sweep.folder import runs_of, states_of
    from kis_sweep.shown import state_object, states_table

    with refusal_as_json(as_json):
        states = states_of(runs_of(sweep))
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
    from kis_sweep.shown import show_wave, wave_object
    from kis_sweep.wave import next_runs_of

    with refusal_as_json(as_json):
        wave = next_runs_of(sweep.resolve(), target, count, new_sizes, dry_run)
    if as_json:
        click.echo(json.dumps(wave_object(wave), indent=2))
    else:
        show_wave(wave, console(), dry_run)
    if not wave.added:
        raise SystemExit(1)


def _end_in_order() -> None:
    """Have a SIGTERM clean up as Ctrl-C does: runs are ended with the sweep, a plan leaves nothing behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


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
