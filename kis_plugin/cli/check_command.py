"""``kis check``: is a configuration right, and what would be infused?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kis_plugin.cli.amount_option import read_count
from kis_plugin.escapes import to_stderr
from kis_plugin.storage.terminal import AS_JSON, console, refusal_as_json, table
from kis_plugin.storage.text_rules import many

if TYPE_CHECKING:
    from rich.console import Console

    from kis_plugin.cli.check import CheckReport
    from kis_plugin.cli.row_room import RowRoom

__all__ = ["check"]

SAMPLES = 8
"""Relations whose sentences are shown."""


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--params", metavar="COUNT", callback=read_count, help="Parameters of the model, for the advice: 7B.")
@click.option("--tokens", metavar="COUNT", callback=read_count, help="Tokens of the run, for the advice: 140B.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Tokenized data set, Parquet or save_to_disk: count its rows with room for a whole statement.",
)
@click.option("--tokenizer", metavar="NAME", help="Tokenizer of the run, for --data: a folder or a name.")
@AS_JSON
def check(
    config: Path, params: int | None, tokens: int | None, data: Path | None, tokenizer: str | None, as_json: bool
) -> None:
    """Check the configuration CONFIG, its knowledge and its templates, and advise.

    Advice is about settings that are right and will probably teach nothing, cost much or show little. Each line says
    what to change. With --params the bits of the facts are compared with what the model can store; with --tokens the
    share of the facts and the cost of evaluation are estimated. With --data and --tokenizer the rows that have room for
    the longest statement are counted.

    Exits with 0 if all is right, with 2 and every problem otherwise.

    \b
    Examples:
      kis check kis.yaml
      kis check kis.yaml --params 7B --tokens 140B
      kis check kis.yaml --data rows --tokenizer gpt2
    """  # noqa: D301 - click reads the character, not its escape
    from kis_plugin.cli.check import check_config
    from kis_plugin.tokenized.load_tokenizer import load_tokenizer

    if (data is None) != (tokenizer is None):
        raise click.UsageError("--data and --tokenizer belong together.")
    with refusal_as_json(as_json):
        encoder = None if tokenizer is None else load_tokenizer(tokenizer)
        report = check_config(config, params, tokens, data, encoder)
    for warning in report.warnings:
        to_stderr(f"kis: note: {warning}")
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        _show_check(report)


def _show_check(report: CheckReport) -> None:
    out = console()
    amount = ", ".join(f"{name} {value:,}" for name, value in report.amount.items())
    facts, passages = many(report.facts, "fact"), many(report.passages, "passage")
    out.print(f"{report.config} is right.")
    out.print(f"{report.knowledge}: {facts}, {passages}, read as {report.source}.")
    held_back = many(report.control, "fact", ("is held back as a control", "are held back as controls"))
    probes = ", ".join(f"{count:,} {series}" for series, count in report.probes.items()) or "none"
    out.print(f"Infusion: {amount}. {held_back}.")
    if report.infused + report.control < report.facts or report.passages_infused < report.passages:
        selected = f"{many(report.infused, 'fact')}, {many(report.passages_infused, 'passage')}"
        out.print(f"Selected: {selected}.")
    out.print(f"Probes at each evaluation: {probes}.")
    if report.frequency_baseline:
        scores = ", ".join(f"{score:.3f} of {series}" for series, score in report.frequency_baseline.items())
        out.print(f"Frequency baseline: knowing only how often each object is infused answers {scores}.")
    if report.room is not None:
        _show_room(report.room, out)
    if report.relations:
        _show_relations(report, out)
    if report.advice:
        out.print("Advice:")
        for line in report.advice:
            out.print(f"- {line}")


def _show_room(room: RowRoom, out: Console) -> None:
    lengths = f"{room.shortest:,} to {room.longest:,}" if room.shortest < room.longest else f"{room.longest:,}"
    part = f"{room.with_room:,} of them ({room.with_room / room.rows:.1%})"
    out.print(
        f"{room.data}: {many(room.rows, 'row')} of {lengths} tokens; {part} can take the longest text to infuse, of "
        f"{many(room.longest_text, 'token')}, as a whole."
    )


def _show_relations(report: CheckReport, out: Console) -> None:
    relations = table("relation", "in words", "facts", "held out", "questions", "templates from", numbers=(2, 3, 4))
    for found in report.relations:
        counts = (f"{found.facts:,}", str(found.held_out_statements), str(found.questions))
        relations.add_row(found.relation, found.label, *counts, found.templates)
    out.print(relations)
    out.print("Sentences trained on, and the first held-out ones:")
    for found in report.relations[:SAMPLES]:
        out.print(f"  {found.relation}  {found.trained}\n  {' ' * len(found.relation)}  {found.held_out}")
