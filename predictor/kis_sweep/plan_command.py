"""The command ``kis sweep plan`` and its options."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.terminal import AS_JSON, console, echo, refusal_as_json
from kis_predict.options import Amount, Open

if TYPE_CHECKING:
    from kis_sweep.training import Training

__all__ = ["PATH", "plan"]

PATH = click.Path(path_type=Path)


@click.command()
@click.option("--sizes", metavar="LIST", help="Model sizes, embeddings included: 1M,3M,10M,30M.")
@click.option(
    "--from",
    "models",
    multiple=True,
    metavar="MODEL",
    help="Continue from a trained Llama, instead of --sizes; repeatable, one per size.",
)
@click.option("--frequency", metavar="LIST", help="Exposures per fact: 4..4096, or 0,16,64, or both.")
@click.option("--target", type=Amount(), help="N of the large model: choose sizes, frequencies and seeds for it.")
@click.option("--budget", metavar="AMOUNT", help="With --target: FLOPs such as 1e21, or GPU-hours such as 500h:H100.")
@click.option("--longest", metavar="AMOUNT", help="With --target: the longest run, on one GPU, such as 168h:H100.")
@click.option("--target-tokens", type=Amount(), help="With --target: its D.  [default: --tokens-per-param times N]")
@click.option("--exposure-tokens", type=Amount(), help="With --target: tokens of one exposure of all facts.")
@click.option("--text-tokens", type=Amount(), help="With --target: tokens of the sweep's base text.")
@click.option("--target-text-tokens", type=Amount(), help="With --target: tokens of the large run's base text.")
@click.option(
    "--simulations", type=click.IntRange(1, 100), default=5, show_default=True, help="With --target: sweeps simulated."
)
@click.option("--points", type=click.IntRange(2), default=10, show_default=True, help="Frequencies per range.")
@click.option("--uninfused/--no-uninfused", default=True, help="Train each size at F = 0 too.  [default: uninfused]")
@click.option(
    "--seeds", type=click.IntRange(1), default=1, show_default=True, help="Seeds of the upper half of the frequencies."
)
@click.option("--first", type=click.IntRange(3), metavar="K", help="Start with K frequencies per size; next adds more.")
@click.option("--tokens", type=Amount(), help="Token budget D of every run, instead of --tokens-per-param.")
@click.option("--tokens-per-param", type=Open(0, 1e6), default=20.0, show_default=True, help="Token budget: D / N.")
@click.option("--facts", type=PATH, help="Facts to infuse: a file or a folder.")
@click.option(
    "--config", type=PATH, help="A kis.yaml for all runs, instead of --facts; its amount, seed and run_log are ignored."
)
@click.option("--text", "texts", type=PATH, multiple=True, help="Base text, .txt or .jsonl; repeatable.")
@click.option(
    "--held-out-text", type=PATH, multiple=True, help="Held-out general text.  [default: the last 1 % of the text]"
)
@click.option(
    "--tokenizer",
    metavar="NAME",
    help="Folder or name of a tokenizer.  [default: trained on the text, or that of the models]",
)
@click.option(
    "--vocabulary", type=click.IntRange(512), default=8192, show_default=True, help="Tokens of a trained tokenizer."
)
@click.option(
    "--block", "sequence_length", type=click.IntRange(16), default=256, show_default=True, help="Tokens per row."
)
@click.option("--batch-tokens", type=Amount(), help="Tokens per step.  [default: at least 500 steps for every size]")
@click.option("--rate", type=Open(0, 1e3), default=0.5, show_default=True, help="Learning rate times model width.")
@click.option(
    "--precision", type=click.Choice(["32", "bf16"]), default="32", show_default=True, help="Precision of training."
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the models.")
@click.option("--saves", type=click.IntRange(1), default=4, show_default=True, help="Checkpoints per run.")
@click.option("--keep-models", is_flag=True, help="Keep the trained models, for kis probe.")
@click.option(
    "--framework", default="hf", show_default=True, help="Training framework: hf, litgpt, or one of a plugin."
)
@click.option("--time/--no-time", "timed", default=True, help="Time a few steps of each size.  [default: time]")
@click.option("--output", "-o", type=PATH, help="The sweep's folder, new or empty.")
@AS_JSON
def plan(
    sizes: str | None,
    models: tuple[str, ...],
    frequency: str | None,
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
    output: Path | None,
    as_json: bool,
    target: int | None,
    budget: str | None,
    longest: str | None,
    target_tokens: int | None,
    exposure_tokens: int | None,
    text_tokens: int | None,
    target_text_tokens: int | None,
    simulations: int,
    **training: Any,
) -> None:
    """Write one configuration per run of a grid, and show its cost.

    With --target and --budget, choose the grid, and say what its prediction would be worth; nothing is written.

    \b
    Examples:
      kis sweep plan --sizes 1M,3M,10M --frequency 4..4096 --facts facts.jsonl --text corpus/ -o sweep/
      kis sweep plan --sizes 1M,3M --frequency 0,16,64,256 --config kis.yaml --text corpus/ --tokenizer gpt2 -o sweep/
      kis sweep plan --from small/ --from medium/ --frequency 8..512 --facts facts.jsonl --text corpus/ -o sweep/
      kis sweep plan --target 7B --budget 500h:H100 --facts facts.jsonl
    """  # noqa: D301 - click reads the character, not its escape
    from kis_sweep.display import costs, show_plan, watching
    from kis_sweep.grid import cells_of, first_runs, parse_frequencies, parse_sizes
    from kis_sweep.plan import rows_per_step
    from kis_sweep.planning import plan_sweep
    from kis_sweep.training import trained_shapes

    if target is not None or budget is not None:
        if target is None or budget is None:
            raise click.UsageError("--target and --budget go together.")
        if sizes or models or frequency or output:
            raise click.UsageError("--target chooses the grid: leave out --sizes, --from, --frequency and --output.")
        from kis_sweep.budget.command import advise_on_budget

        advise_on_budget(
            target, budget, longest, target_tokens, training["tokens_per_param"], exposure_tokens, facts, config,
            text_tokens, target_text_tokens, simulations, as_json,
        )  # fmt: skip
        return
    for name, given in (("--frequency", frequency), ("--text", texts), ("--output / -o", output)):
        if not given:
            raise click.UsageError(f"Missing option '{name}'.")
    assert frequency is not None
    assert output is not None
    if (facts is None) == (config is None):
        raise click.UsageError("Give exactly one of --facts and --config.")
    if (sizes is None) != bool(models):
        raise click.UsageError("Give exactly one of --sizes and --from.")
    with refusal_as_json(as_json):
        frequencies = parse_frequencies(frequency, points)
        frequencies = sorted({0.0, *frequencies} if uninfused else frequencies)
        if not any(frequencies):
            raise KISError(Problem("--frequency", frequency, "at least one frequency above 0"))
        recipe = _training(training, models)
        params = parse_sizes(sizes) if sizes is not None else sorted(trained_shapes(recipe))
        cells = cells_of(params, frequencies, seeds)
        start = set(frequencies if first is None else first_runs(frequencies, first))
        with watching() as watch:
            planned = plan_sweep(
                output,
                config or {"knowledge": (facts or Path()).resolve()},
                texts,
                held_out_text,
                tokenizer,
                cells,
                lambda cell: cell.frequency in start and (first is None or cell.seed == 0),
                replace(recipe, batch=rows_per_step(recipe.budget(min(params)), recipe.sequence_length, batch_tokens)),
                timed,
                watch,
            )
    if as_json:
        click.echo(json.dumps({"status": "ok", **costs(planned)}, indent=2))
    else:
        show_plan(planned, console())
        echo(f"Next: kis sweep run {shlex.quote(str(output))}")


def _training(options: dict[str, Any], models: Sequence[str]) -> Training:
    """Return the training settings of the options; the batch is computed later, from the token budgets."""
    from kis_sweep.training import Training

    paths = tuple(str(Path(model).resolve()) if Path(model).exists() else model for model in models)
    return Training(batch=1, compile=options.pop("compiled"), models=paths, **options)
