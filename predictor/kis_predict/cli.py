"""The ``kis-predict`` command. Everything heavy is imported when it is needed: ``--help`` answers at once."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from kis_plugin.errors import KISError
from kis_predict.amounts import parse_amount

__all__ = ["main"]

_HELP = """Predict how much domain knowledge a large model takes before its memory collapses.

\b
Examples:
  kis-predict --logs runs/ --target 7B
  kis-predict --logs runs/ --target 7B --tokens 140B --facts 2M --tokens-per-fact 24
  kis-predict --logs small.csv --logs medium/ --target 13B --risk 0.01 --json

Reads a sweep of small runs (kis.jsonl run logs, CSV tables), finds for each model size the infusion frequency beyond
which held-out retention collapses, fits a law across sizes and recommends an amount for the target.

Exits with 0 and a recommendation, with 1 if the evidence is too weak for one (it then says which runs to add), with 2
on wrong usage or bad input.
"""


class Amount(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.3
    """A whole amount such as 7B."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        try:
            return value if isinstance(value, int) else parse_amount(value)
        except ValueError as error:
            self.fail(f"{value!r} is not {error}.", param, ctx)


class Open(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A number between two limits, both excluded; nan is none."""

    name = "number"

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not self.low < number < self.high:
            self.fail(f"{value!r} is not a number between {self.low:g} and {self.high:g}.", param, ctx)
        return number


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"kis-predict {version('kis-plugin')}")
        except PackageNotFoundError:
            click.echo("kis-predict (kis-plugin is not installed: running from its source tree)")
        ctx.exit()


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--logs", multiple=True, required=True, type=click.Path(path_type=Path),
    help="Folder of runs, searched to the bottom, or a log file. May be repeated.",
)  # fmt: skip
@click.option(
    "--target", required=True, type=Amount(), help="Size of the large model, all parameters: 7B, 350M, 1.2e9."
)
@click.option("--tokens", type=Amount(), help="Its token budget: 140B.  [default: the sweep's own rule for D]")
@click.option("--facts", type=Amount(), help="Facts to infuse there.  [default: as many as in the sweep]")
@click.option(
    "--tokens-per-fact", type=Open(0, 1e9), help="Tokens of one exposure of a fact.  [default: as in the sweep]"
)
@click.option("--risk", type=Open(0, 1), default=0.05, show_default=True, help="Greatest risk of collapse to accept.")
@click.option("--confidence", type=Open(0, 1), default=0.9, show_default=True, help="Of the central intervals shown.")
@click.option(
    "--bootstraps", type=click.IntRange(50, 10_000), default=1000, show_default=True, help="Resampled sweeps per size."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of every random choice.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the report.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def command(logs: tuple[Path, ...], target: int, as_json: bool, **asked: Any) -> int:
    """Answer and return the exit code."""
    from kis_plugin.plugins import registered
    from kis_predict.gather import gather
    from kis_predict.predict import Question, predict

    runs = gather(logs, registered("log_readers"))
    click.echo(f"Read {len(runs)} run{'s' if len(runs) != 1 else ''}.", err=True)
    answer = predict(runs, Question(params=target, **asked), registered("laws"))
    try:
        if as_json:
            from kis_predict.as_json import as_object

            click.echo(json.dumps(as_object(answer), indent=2, allow_nan=False))
        else:
            from rich.console import Console

            from kis_predict.report import print_report, print_warnings

            console = Console(highlight=False)
            # rich itself would answer a closed pipe with exit code 1, which has its own meaning here.
            with console.capture() as captured:
                print_report(answer, console)
            click.echo(captured.get(), nl=False, color=True)
            print_warnings(answer, Console(highlight=False, stderr=True))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the pipe has had enough (head, less): no error, nor at the interpreter's own last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0 if answer.status == "ok" else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 or 2 (see ``--help``)."""
    try:
        code = command.main(args=None if argv is None else list(argv), prog_name="kis-predict", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except KISError as error:
        click.echo(f"kis-predict: {error}", err=True)
        return error.exit_code
    except click.Abort:
        click.echo("kis-predict: interrupted", err=True)
        return 130
    return int(code or 0)


if __name__ == "__main__":
    sys.exit(main())
