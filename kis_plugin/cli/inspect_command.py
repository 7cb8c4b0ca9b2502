"""``kis inspect``: what a run would infuse, shown before it begins."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kis_plugin.cli.amount_option import read_count
from kis_plugin.escapes import to_stderr
from kis_plugin.storage.terminal import AS_JSON, console, refusal_as_json, table
from kis_plugin.storage.text_rules import many

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from kis_plugin.cli.inspect_report import ExampleRow, InspectReport, Stretch

__all__ = ["inspect", "sparkline"]

LEVELS, ASCII_LEVELS = "▁▂▃▄▅▆▇█", ".:-=+*%#"
FACTS_SHOWN = 4
"""Facts shown of an example row, without ``--whole``."""
LETTERS_SHOWN = 200
"""Letters shown of a fact or a passage, without ``--whole``."""


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--tokenizer", required=True, metavar="NAME", help="The run's tokenizer: a folder, a tokenizer.json, or its name."
)
@click.option("--tokens", callback=read_count, metavar="COUNT", help="Tokens of the whole run: 2B, 300M, 20000.")
@click.option(
    "--rows",
    type=click.IntRange(1),
    metavar="COUNT",
    help="Rows (sequences) of the whole run, over all epochs; in place of --tokens.",
)
@click.option(
    "--block", "sequence_length", type=click.IntRange(2), required=True, metavar="COUNT", help="Tokens per row."
)
@click.option("--examples", type=click.IntRange(0), default=10, show_default=True, help="Infused rows to show.")
@click.option("--whole", is_flag=True, help="Show the example rows in full.")
@AS_JSON
def inspect(
    config: Path,
    tokenizer: str,
    tokens: int | None,
    rows: int | None,
    sequence_length: int,
    examples: int,
    whole: bool,
    as_json: bool,
) -> None:
    """Show what a run would infuse: how much, of what, and where.

    Reads the configuration CONFIG and plans the run as training would; nothing is trained and no base data is read.

    \b
    Examples:
      kis inspect kis.yaml --tokenizer gpt2 --tokens 2B --block 1024
      kis inspect kis.yaml --tokenizer tokenizer --rows 20000 --block 512 --examples 3 --whole
    """  # noqa: D301 - click reads the character, not its escape
    if (tokens is None) == (rows is None):
        raise click.UsageError("Give the length of the run once: --tokens, or --rows.")
    if tokens is not None and tokens < sequence_length:
        raise click.UsageError(f"--tokens {tokens} is less than one row of {sequence_length} tokens.")
    from kis_plugin.cli.inspection import inspect_config
    from kis_plugin.config.load import load_config
    from kis_plugin.tokenized.load_tokenizer import load_tokenizer

    with refusal_as_json(as_json):
        load_config(config)  # reports a wrong configuration before a tokenizer is loaded, which takes seconds
        report = inspect_config(
            config, load_tokenizer(tokenizer), rows or (tokens or 0) // sequence_length, sequence_length, examples
        )
    for warning in report.warnings:
        to_stderr(f"kis: note: {warning}")
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        _show(report, whole)


def sparkline(density: Sequence[float], levels: str = LEVELS) -> str:
    """Return one character per part, the highest for the densest; a blank where nothing is infused."""
    top = max(density, default=0.0)
    steps = len(levels) - 1
    return "".join(levels[round(steps * part / top)] if part else " " for part in density)


def _show(report: InspectReport, whole: bool) -> None:
    out = console()
    plain = not _encodes(LEVELS)
    out.print(
        f"{report.config} in a run of {report.rows:,} rows of {report.sequence_length:,} tokens, "
        f"{report.tokens:,} in all\n"
    )
    for key, value in _amounts(report):
        out.print(f"  {key:<22}{value}")
    out.print(f"\nInfused rows, from the run's start to its end ({_scale(report)}):")
    line = sparkline(report.density, ASCII_LEVELS if plain else LEVELS)
    out.print(f"|{line}|" if plain else f"▕{line}▏")
    shares = table("relation", "in words", "infused", "exposures", "tokens", "share", numbers=(2, 3, 4, 5))
    for part in report.relations:
        numbers = (f"{part.infused:,}", f"{part.exposures:,}", f"{part.tokens:,}", f"{part.share:.1%}")
        shares.add_row(part.relation, part.label, *numbers)
    out.print(shares)
    if report.examples:
        _show_examples(out, report, whole)


def _amounts(report: InspectReport) -> Iterator[tuple[str, str]]:
    amount = ", ".join(f"{name} {value:,}" for name, value in report.amount.items())
    even = f"{report.fewest:,} each" if report.fewest == report.most else f"{report.fewest:,} to {report.most:,} each"
    chunks = "" if report.texts == report.facts + report.passages else f" in {report.texts:,} texts"
    yield "amount", amount
    yield (
        "infused",
        f"{many(report.facts, 'fact')}, {many(report.passages, 'passage')}{chunks}; templates: {report.templates}",
    )
    mean = f"{report.frequency:,.2f}".rstrip("0").rstrip(".")
    yield "exposures", f"{report.exposures:,}: {even}, {mean} on average"
    yield "infused tokens", f"{report.infused_tokens:,}"
    yield "share of all tokens", f"{report.share:.4%}"
    yield "infused rows", f"{report.infused_rows:,} of {report.rows:,}"
    yield from report.settings.items()
    yield "schedule hash", report.schedule_hash


def _scale(report: InspectReport) -> str:
    top = f"the highest is {max(report.density, default=0.0):.2%} of the rows there"
    return top if report.every == 1 else f"{top}; one row in {report.every:,} is counted"


def _show_examples(out: Console, report: InspectReport, whole: bool) -> None:
    from rich.text import Text

    coloured = out.is_terminal and not out.no_color
    marks = ("", "") if coloured else ("⟦", "⟧") if _encodes("⟦⟧") else ("[[", "]]")
    inline = report.settings["placement"] == "inline"
    where = " (the place of a fact in a row depends on the base text, for which there is a stand-in here)"
    out.print(f"{len(report.examples)} of the infused rows{where if inline else ''}:")
    for example in report.examples:
        out.print(f"\nrow {example.row:,}: {example.infused_tokens:,} of {report.sequence_length:,} tokens are infused")
        line = Text("  ")
        for shown in _stretches(example, marks, whole):
            line.append_text(shown if coloured else Text(shown.plain)).append(" ")
        out.print(line)


def _stretches(example: ExampleRow, marks: tuple[str, str], whole: bool) -> Iterator[Text]:
    """Yield the parts of a row in order; facts beyond the first few are one part that says how many."""
    from rich.text import Text

    shown, left = 0, sum(stretch.infused for stretch in example.stretches)
    for stretch in example.stretches:
        if not stretch.infused:
            yield Text(f"({stretch.tokens:,} of base text)", style="dim")
        elif whole or shown < FACTS_SHOWN or left == 1:
            yield Text(f"{marks[0]}{_short(stretch, whole)}{marks[1]}", style="bold green")
        elif shown == FACTS_SHOWN:
            yield Text(f"({left:,} more)", style="dim")
        shown, left = shown + stretch.infused, left - stretch.infused


def _short(stretch: Stretch, whole: bool) -> str:
    text = "".join(letter if letter.isprintable() else "�" for letter in " ".join(stretch.text.split()))
    return text if whole or len(text) <= LETTERS_SHOWN else f"{text[: LETTERS_SHOWN - 40]} ... {text[-36:]}"


def _encodes(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
