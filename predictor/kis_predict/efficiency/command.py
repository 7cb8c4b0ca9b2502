"""``kis-predict efficiency``, which is ``kis runs efficiency``: how efficiently several models learned facts."""

from __future__ import annotations

import json

import click

from kis_plugin.escapes import to_stderr
from kis_plugin.storage.terminal import AS_JSON, console, echo, refusal_as_json, table
from kis_predict.options import Open

__all__ = ["efficiency"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--logs", multiple=True, required=True, metavar="PLACE",
    help="Run log, folder of runs, archive, URL, or a CSV with model, fact, occurrences, correct. May be repeated.",
)  # fmt: skip
@click.option(
    "--series", type=click.Choice(["held_out", "seen", "background"]), default="held_out", show_default=True,
    help="Whose answers of the run logs.",
)  # fmt: skip
@click.option("--confidence", type=Open(0, 1), default=0.95, show_default=True, help="Of each interval.")
@click.option(
    "--bootstraps", type=click.IntRange(50, 10_000), default=1000, show_default=True, help="Resampled sets of facts."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the resampling.")
@click.option("--follow-links", is_flag=True, help="Follow links that lead out of the folders searched.")
@AS_JSON
def efficiency(
    logs: tuple[str, ...], series: str, confidence: float, bootstraps: int, seed: int, follow_links: bool, as_json: bool
) -> None:
    """Compare how efficiently models learn facts (From Data to Knowledge).

    Fits P(correct) = 1 - (L0 + x0 / (1 + x)^alpha) to the answers of all models together: x is how often training
    showed a fact, each model has an alpha of its own (0.037 or more), L0 and x0 are shared. Intervals are by bootstrap
    over facts. WAF and WASB are accuracies that weigh rare facts more. Runs log answers where retention.corpus_counts
    is set. kis-predict efficiency is the same command.

    \b
    Examples:
      kis runs efficiency --logs runs/
      kis runs efficiency --logs runs/ --logs answers.csv --json
    """  # noqa: D301 - click reads the character, not its escape
    from kis_predict.efficiency.answers import read_answers
    from kis_predict.efficiency.estimate import estimate

    with refusal_as_json(as_json):
        found = estimate(read_answers(logs, series, to_stderr, follow_links), confidence, bootstraps, seed)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2, allow_nan=False))
        return
    shown = table("Model", "N", "answers", "accuracy", "alpha", "WAF", "WASB", numbers=range(1, 7))
    for model in found.models:
        bound = "*" if model.at_bound else ""
        shown.add_row(
            model.model,
            "" if model.params is None else f"{model.params:,}",
            f"{model.n:,}",
            f"{model.accuracy:.3f}",
            _shown(model.alpha, model.alpha_interval, 4) + bound,
            _shown(model.waf, model.waf_interval, 3),
            _shown(model.wasb, model.wasb_interval, 3),
        )
    console().print(shown)
    echo(f"L0 {_shown(found.L0, found.L0_interval, 4)}, x0 {_shown(found.x0, found.x0_interval, 4)}, for all models")
    if found.exponent is not None:
        echo(f"alpha grows as N^{found.exponent:.3f}")
    if any(model.at_bound for model in found.models):
        echo("* alpha is at its lower bound of 0.037: answers hardly improve with how often facts are shown.")
    echo(f"Intervals: {found.confidence:.0%}, {found.bootstraps:,} bootstraps over {found.facts:,} facts.")


def _shown(value: float | None, interval: tuple[float, float] | None, digits: int) -> str:
    if value is None or interval is None:
        return "-"
    return f"{value:.{digits}f} [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"
