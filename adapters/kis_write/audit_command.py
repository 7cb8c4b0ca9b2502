"""``kis audit``: what a framework really reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kis_plugin.escapes import escaped
from kis_plugin.storage.terminal import AS_JSON, console, refusal_as_json, table

if TYPE_CHECKING:
    from rich.console import Console

    from kis_plugin.hashing import IntArray
    from kis_plugin.run.manifest import Manifest
    from kis_plugin.tokenized.tokenizer import TextTokenizer
    from kis_write.audit import AuditReport, Sought

__all__ = ["audit", "show_report"]

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("data", type=PATH, required=False)
@click.option(
    "--as",
    "reader",
    type=click.Choice(["files", "megatron", "olmo", "datasets", "datatrove", "mds", "litdata"]),
    default="files",
    show_default=True,
    help="Read DATA by the host's own code, where it is installed.",
)
@click.option("--loader", metavar="FILE.py:NAME", help="A function of yours that returns batches, in place of DATA.")
@click.option("--config", type=PATH, metavar="FILE", help="The kis.yaml; by default that of the manifest.")
@click.option("--sentences", type=PATH, metavar="FILE", help="Count these sentences, one a line, in place of facts.")
@click.option("--tokenizer", metavar="NAME", help="The run's.")
@click.option("--block", "sequence_length", type=click.IntRange(2), metavar="COUNT", help="Tokens per row.")
@click.option("--expect", metavar="exact|COUNT", help="exact: as the manifest's plan. Default with a manifest: exact.")
@click.option("--output", "-o", type=PATH, metavar="FILE", help="Write what --json prints to a file.")
@AS_JSON
def audit(
    data: Path | None, reader: str, loader: str | None, config: Path | None, sentences: Path | None,
    tokenizer: str | None, sequence_length: int | None, expect: str | None, output: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Count the exposures in what a framework reads.

    DATA is a folder that kis write wrote. Data of any other origin is read by --loader, a Python function that returns
    batches of token ids, with --config or --sentences and the --tokenizer.

    Exits with 1 if counts differ from what is expected, a control fact occurs, or a file of DATA was changed.

    \b
    Examples:
      kis audit infused
      kis audit infused --as megatron
      kis audit --loader loader.py:batches --config kis.yaml --tokenizer gpt2 --block 2048
    """  # noqa: D301 - click reads the character, not its escape
    if (data is None) == (loader is None):
        raise click.UsageError("Say what to read: DATA, or --loader.")
    if config is not None and sentences is not None:
        raise click.UsageError("--config and --sentences: give one of them.")
    with refusal_as_json(as_json):
        report = _report(data, reader, loader, config, sentences, tokenizer, sequence_length, expect)
        if output:
            from kis_plugin.storage.atomic_write import write_atomically

            write_atomically(output, json.dumps(report.as_json(), ensure_ascii=False, indent=2) + "\n", overwrite=False)
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False, indent=2))
    else:
        show_report(report, console())
    if not report.ok:
        raise SystemExit(1)


def _report(
    data: Path | None, reader: str, loader: str | None, config: Path | None, sentences: Path | None,
    tokenizer: str | None, sequence_length: int | None, expect: str | None,
) -> AuditReport:  # fmt: skip
    from kis_plugin.run.manifest import changed_files, read_manifest
    from kis_write.audit import audit_rows
    from kis_write.readers import batches_of_loader, read_as

    manifest = read_manifest(data) if data is not None else None
    encoder = _tokenizer(manifest, tokenizer)
    sought = _sought(manifest, config, sentences, encoder, sequence_length)
    if expect is None and manifest is not None and config is None and sentences is None:
        expect = _EXACT
    if expect == _EXACT and (manifest is None or config is not None or sentences is not None):
        raise click.BadParameter("exact is the plan of a manifest, for its own facts.", param_hint="--expect")
    requested = _requested(manifest, expect, encoder)
    if loader is None:
        assert data is not None
        assert manifest is not None
        folder = data if data.is_dir() else data.parent
        report = audit_rows(sought, read_as(reader, folder, manifest), requested)
        return replace(report, changed=changed_files(folder, manifest))
    return audit_rows(sought, batches_of_loader(loader), requested)


_EXACT = "exact"


def _sought(
    manifest: Manifest | None, config: Path | None, sentences: Path | None, encoder: TextTokenizer, length: int | None
) -> Sought:
    from kis_plugin.config.load import load_config
    from kis_write.audit import sought_of_config, sought_of_sentences

    if sentences is not None:
        return sought_of_sentences(_lines(sentences), encoder)
    path = config or (Path(manifest.config) if manifest else None)
    if path is None:
        raise click.UsageError("Say what to count: --config or --sentences.")
    tokens = length or (manifest.sequence_length if manifest else None)
    if tokens is None:
        raise click.UsageError("Say how many tokens a row has: --block.")
    return sought_of_config(load_config(path), encoder, tokens)


def _tokenizer(manifest: Manifest | None, name: str | None) -> TextTokenizer:
    from kis_plugin.errors import KISError, Problem
    from kis_plugin.tokenized.load_tokenizer import load_tokenizer

    named = name or (manifest.tokenizer_name if manifest else None)
    if named is None:
        raise click.UsageError("Say which tokenizer made the tokens: --tokenizer.")
    encoder = load_tokenizer(named)
    if manifest is not None and encoder.fingerprint != manifest.tokenizer:
        found = "another tokenizer than the data set was written with"
        raise KISError(Problem(f"--tokenizer {named}", found, "the same one"))
    return encoder


def _requested(manifest: Manifest | None, expect: str | None, encoder: TextTokenizer) -> IntArray | float | None:
    """Return the exposures of each item that are expected; None for none in particular."""
    if expect is None:
        return None
    if expect == _EXACT:
        assert manifest is not None
        return _planned_counts(manifest, encoder)
    try:
        return float(expect)
    except ValueError as error:
        raise click.BadParameter(f"{expect!r} is neither exact nor a number.", param_hint="--expect") from error


def _planned_counts(manifest: Manifest, encoder: TextTokenizer) -> IntArray:
    """Return the exposures of each item by the plan of a manifest."""
    from kis_plugin.config.load import load_config
    from kis_plugin.errors import KISError, Problem
    from kis_plugin.infusion.build_plan import plan_infusion
    from kis_plugin.infusion.inputs import load_inputs

    inputs = load_inputs(load_config(Path(manifest.config)), encoder, manifest.sequence_length)
    plan = plan_infusion(inputs, manifest.rows)
    if plan.schedule_hash != manifest.schedule_hash:
        hint = "Knowledge, templates or kis.yaml changed since: --expect a number instead."
        raise KISError(Problem(manifest.config, "another plan than the one that was written", "the same one", hint))
    return plan.counts


def _lines(path: Path) -> list[str]:
    from kis_plugin.errors import KISError, Problem
    from kis_plugin.storage.regular_files import refuse_special_file

    try:
        refuse_special_file(path)
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise KISError(Problem(f"--sentences {path}", str(error), "a text file, UTF-8")) from error


def show_report(report: AuditReport, out: Console) -> None:
    """Print what an audit found."""
    out.print(f"{report.rows:,} rows, {report.tokens:,} tokens.")
    shown = table("exposures", "items", numbers=(0, 1))
    for exposures, items in list(report.histogram.items())[:20]:
        shown.add_row(f"{exposures:,}", f"{items:,}")
    out.print(shown)
    summary = report.as_json()["summary"]
    found = f"{summary['min']:,} to {summary['max']:,}, mean {summary['mean']:.4g}"
    out.print(f"{report.items:,} facts: {found} whole exposures; {report.torn:,} torn at the end of a row.")
    if report.requested is not None:
        as_it_should = "every fact as often as requested" if not report.wrong else f"{report.wrong:,} facts differ"
        out.print(f"Requested: {as_it_should}.")
    for name in report.changed:
        out.print(f"  changed since it was written: {escaped(name)}")
    for name in report.missing:
        out.print(f"  too few: {escaped(name)}")
    if report.leaked:
        out.print(f"{report.leaked:,} exposures of control facts:")
        for name in report.leaks:
            out.print(f"  {escaped(name)}")
