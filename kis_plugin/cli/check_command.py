"""``kis check``: is a configuration right, and what would be infused?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kis_plugin.cli.amount_option import read_count
from kis_plugin.escapes import to_stderr
from kis_plugin.storage.terminal import AS_JSON, console, refusal_as_json, table

if TYPE_CHECKING:
    from rich.console import Console

    from kis_plugin.cli.check import CheckReport

__all__ = ["check"]

SAMPLES = 8
"""Relations whose sentences are shown."""


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--params", metavar="COUNT", callback=read_count, help="Parameters of the model, for the advice: 7B.")
@click.option("--tokens", metavar="COUNT", callback=read_count, help="Tokens of the run, for the advice: 140B.")
@AS_JSON
def check(config: Path, params: int | None, tokens: int | None, as_json: bool) -> None:
    """Check the configuration CONFIG, its knowledge and its templates, and advise.

    Advice is about settings that are right and will probably teach nothing, cost much or show little. Each line says
    what to change. With --params the bits of the facts are compared with what the model can store; with --tokens the
    share of the facts and the cost of evaluation are estimated.

    Exits with 0 if all is right, with 2 and every problem otherwise.

    \b
    Examples:
      kis check kis.yaml
      kis check kis.yaml --params 7B --tokens 140B
    """  # noqa: D301 - click reads the character, not its escape
    from kis_plugin.cli.check import check_config

    with refusal_as_json(as_json):
        report = check_config(config, params, tokens)
    for warning in report.warnings:
        to_stderr(f"kis: note: {warning}")
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        _show_check(report)


def _show_check(report: CheckReport) -> None:
    out = console()
    amount = ", ".join(f"{name} {value:,}" for name, value in report.amount.items())
    out.print(f"{report.config} is right.")
    out.print(f"{report.knowledge}: {report.facts:,} facts, {report.passages:,} passages, read as {report.source}.")
    probes = ", ".join(f"{count:,} {series}" for series, count in report.probes.items()) or "none"
    out.print(f"Infusion: {amount}. {report.control:,} facts are held back as controls.")
    if report.infused + report.control < report.facts or report.passages_infused < report.passages:
        out.print(f"Selected: {report.infused:,} facts, {report.passages_infused:,} passages.")
    out.print(f"Probes at each evaluation: {probes}.")
    if report.frequency_baseline:
        scores = ", ".join(f"{score:.3f} of {series}" for series, score in report.frequency_baseline.items())
        out.print(f"Frequency baseline: knowing only how often each object is infused answers {scores}.")
    if report.relations:
        _show_relations(report, out)
    if report.advice:
        out.print("Advice:")
        for line in report.advice:
            out.print(f"- {line}")


def _show_relations(report: CheckReport, out: Console) -> None:
    relations = table("relation", "in words", "facts", "held out", "questions", "templates from", numbers=(2, 3, 4))
    for found in report.relations:
        counts = (f"{found.facts:,}", str(found.held_out_statements), str(found.questions))
        relations.add_row(found.relation, found.label, *counts, found.templates)
    out.print(relations)
    out.print("Sentences trained on, and the first held-out ones:")
    for found in report.relations[:SAMPLES]:
        out.print(f"  {found.relation}  {found.trained}\n  {' ' * len(found.relation)}  {found.held_out}")
