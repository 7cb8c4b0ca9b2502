"""``kis sweep plan``: what is trained, how, and on what."""

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
from kis_plugin.storage.terminal import AS_JSON, console, refusal_as_json
from kis_predict.options import Amount, Open

if TYPE_CHECKING:
    from kis_sweep.training import Training

__all__ = ["PATH", "end_in_order", "plan"]

PATH = click.Path(path_type=Path)


@click.command()
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
@click.option("--facts", type=PATH, help="What is infused: a file or a folder of facts.")
@click.option(
    "--config", type=PATH, help="A kis.yaml instead, for all runs; its amount, seed and run_log do not count."
)
@click.option("--text", "texts", type=PATH, multiple=True, required=True, help="Base text, .txt or .jsonl; repeatable.")
@click.option("--held-out-text", type=PATH, multiple=True, help="General text not trained on.  [default: the last 1 %]")
@click.option(
    "--tokenizer", metavar="NAME", help="A folder or a name.  [default: one is trained on the text, or the models']"
)
@click.option("--vocabulary", type=click.IntRange(512), default=8192, show_default=True, help="Of a trained tokenizer.")
@click.option(
    "--block", "sequence_length", type=click.IntRange(16), default=256, show_default=True, help="Tokens of a row."
)
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
@click.option("--output", "-o", type=PATH, required=True, help="The sweep's folder, new or empty.")
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
    from kis_sweep.display import costs, show_plan, watching
    from kis_sweep.grid import cells_of, first_wave, parse_frequencies, parse_sizes
    from kis_sweep.plan import rows_of_a_step
    from kis_sweep.planning import plan_sweep
    from kis_sweep.training import trained_shapes

    end_in_order()
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
                replace(recipe, batch=rows_of_a_step(recipe.budget(min(params)), recipe.sequence_length, batch_tokens)),
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


def end_in_order() -> None:
    """Have a SIGTERM clean up as Ctrl-C does: runs are ended with the sweep, a plan leaves nothing behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
