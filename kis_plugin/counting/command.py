"""``kis count``: how often the base text already states each fact."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kis_plugin.counting.place_type import PLACE
from kis_plugin.storage.terminal import AS_JSON, echo, progress, refusal_as_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from kis_plugin.counting.places import Place

__all__ = ["count"]


@click.command()
@click.argument("knowledge", type=click.Path(path_type=Path))
@click.argument("texts", metavar="TEXT...", nargs=-1, required=True, type=PLACE)
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="The file of counts to write.")
@click.option(
    "--window",
    type=click.Choice(["sentence", "paragraph", "document"]),
    default="sentence",
    show_default=True,
    help="The unit of text in which both names must occur.",
)
@click.option(
    "--names",
    type=click.Choice(["as-written", "from-data-to-knowledge"]),
    default="as-written",
    show_default=True,
    help="How names are compared. The second, of Christoph et al. 2025, ignores case but in short names.",
)
@click.option(
    "--aliases", type=click.Path(path_type=Path), metavar="FILE",
    help="Other names of subjects and objects: JSON, from names or Wikidata ids to lists.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(1), metavar="COUNT", help="Processes; by default one for each core.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray", "slurm"]),
    help="Count by datatrove, on many machines. Default: this one's cores.",
)
@click.option("--work", type=click.Path(path_type=Path), metavar="FOLDER", help="With --engine: keeps what is counted.")
@click.option("--slurm", multiple=True, metavar="KEY=VALUE", help="time=1:00:00, partition=NAME; repeatable.")
@AS_JSON
def count(
    knowledge: Path, texts: tuple[Place, ...], output: Path, window: str, names: str, aliases: Path | None,
    workers: int | None, engine: str | None, work: Path | None, slurm: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Count how often the base text states each fact.

    KNOWLEDGE is a file or folder of facts, or a kis.yaml. TEXT are files and folders, or their URLs (s3://...): .txt
    with documents separated by form feeds, .jsonl with "text", both also .gz, .xz, .bz2 or .zst, and .parquet with a
    column "text". Needs kis-plugin[count].

    \b
    Examples:
      kis count facts.jsonl corpus/ -o counts.jsonl
      kis count kis.yaml corpus.jsonl.gz --window paragraph -o counts.jsonl
      kis count kis.yaml s3://bucket/corpus -o counts.jsonl --engine ray --work shared/count
      kis count BEAR/ wiki/ --names from-data-to-knowledge --aliases all_entities.json -o counts.jsonl
    """  # noqa: D301 - click reads the character, not its escape
    from kis_plugin.counting.count import count_facts
    from kis_plugin.counting.engine import Engine
    from kis_plugin.counting.name_rules import NAME_RULES, read_aliases
    from kis_plugin.counting.pool import cores

    if (engine is None) != (work is None) or (slurm and engine != "slurm"):
        raise click.UsageError("--engine and --work go together, and --slurm with --engine slurm.")
    options = dict(item.split("=", 1) for item in slurm if "=" in item)
    if len(options) != len(slurm):
        raise click.BadParameter("KEY=VALUE, each key once.", param_hint="--slurm")
    with refusal_as_json(as_json), _progress() as watch:
        on = Engine(engine, work, workers or -1, options) if engine and work else None
        rules = replace(NAME_RULES[names], aliases=read_aliases(aliases) if aliases else {})
        report = count_facts(knowledge, texts, output, window, workers or cores(), watch, on, rules)
    if report is None:
        queued = "The tasks are queued. Run the same command again when they are done."
        click.echo(json.dumps({"status": "queued"}) if as_json else queued)
        return
    if as_json:
        click.echo(json.dumps({"status": "ok", **vars(report)}, indent=2))
        return
    echo(f"{report.documents:,} documents, {report.bytes:,} bytes of text.")
    found = f"{report.found:,} of {report.facts:,} facts found"
    echo(f"{found}: subject and object occur together in at least one {report.window}.")
    echo(f"Written to {report.output}")


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar of bytes on stderr. No thread draws it, since worker processes are forked meanwhile."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("counting"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with progress(*columns, auto_refresh=False) as bars:
        task = bars.add_task("counting", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total, refresh=True)
