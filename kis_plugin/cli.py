"""The command ``kis``: what is installed, and whether a configuration is right. Only results go to stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from kis_plugin import __version__
from kis_plugin.errors import KISError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from kis_plugin.check import CheckReport

__all__ = ["main"]

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON value on stdout instead of tables.")
WIDEST = 10_000  # columns of a pipe: rows of a table stay in one line
SAMPLES = 8


class _Refusal(click.ClickException):
    """Bad input, shown as KISError words it."""

    exit_code = KISError.exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the problems to stderr."""
        click.echo(f"kis: {self.message}", err=True)


class _Group(click.Group):
    """Commands whose KISErrors are printed without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it refuses ends with exit code 2."""
        try:
            return super().invoke(ctx)
        except KISError as error:
            raise _Refusal(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kis")
def main() -> None:
    r"""Infuse an exact amount of knowledge into a pretraining run.

    \b
    kis check kis.yaml      is the configuration right, and what would be told?
    kis plugins             what is installed, and where did it come from?

    Predictions from finished runs are made by kis-predict.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of any script, in any locale


@main.command()
@AS_JSON
def plugins(as_json: bool) -> None:
    """List what is registered and where it came from."""
    from kis_plugin.listing import list_registered

    found = list_registered()
    if as_json:
        click.echo(json.dumps([item.as_json() for item in found], indent=2))
        return
    table = _table("kind", "name", "module", "distribution")
    for item in found:
        table.add_row(item.kind, item.name, item.module, item.distribution)
    _console().print(table)


@main.command()
@click.argument("config", type=click.Path(path_type=Path))
@AS_JSON
def check(config: Path, as_json: bool) -> None:
    """Check the configuration CONFIG, its knowledge and its templates.

    Exits with 0 if all is right, with 2 and every problem otherwise.
    """
    from kis_plugin.check import check_config

    try:
        report = check_config(config)
    except KISError as error:
        if as_json:
            problems = [vars(problem) for problem in error.problems]
            click.echo(json.dumps({"status": "error", "problems": problems}, indent=2))
        raise
    for warning in report.warnings:
        click.echo(f"kis: note: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        _show(report)


def _show(report: CheckReport) -> None:
    console = _console()
    amount = ", ".join(f"{name} {value:,}" for name, value in report.amount.items())
    console.print(f"{report.config} is right.")
    console.print(f"{report.knowledge}: {report.facts:,} facts, {report.passages:,} passages, read as {report.source}.")
    probes = ", ".join(f"{count:,} {series}" for series, count in report.probes.items()) or "none"
    console.print(f"Infusion: {amount}. {report.control:,} facts are kept back as controls.")
    console.print(f"Probes at each evaluation: {probes}.")
    if not report.relations:
        return
    table = _table("relation", "in words", "facts", "held out", "questions", "templates from", numbers=(2, 3, 4))
    for item in report.relations:
        counts = (f"{item.facts:,}", str(item.held_out_statements), str(item.questions))
        table.add_row(item.relation, item.label, *counts, item.templates)
    console.print(table)
    console.print("Sentences trained on, and the first held-out ones:")
    for item in report.relations[:SAMPLES]:
        console.print(f"  {item.relation}  {item.trained}\n  {' ' * len(item.relation)}  {item.held_out}")


def _console() -> Console:
    from rich.console import Console

    # Names come from files: nothing in them is markup.
    width = None if sys.stdout.isatty() else WIDEST
    return Console(width=width, markup=False, highlight=False, emoji=False, soft_wrap=True)


def _table(*columns: str, numbers: Sequence[int] = ()) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number in numbers else "left", overflow="fold")
    return table


if __name__ == "__main__":
    main(prog_name="kis")
