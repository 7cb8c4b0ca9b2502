"""``kis write``: the infused data set of a whole run, for a framework without an adapter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kis_plugin.counting.place_type import PLACE
from kis_plugin.storage.terminal import AS_JSON, echo, refusal_as_json
from kis_plugin.storage.terminal import progress as bars_on_stderr

if TYPE_CHECKING:
    from kis_plugin.counting.places import Place
    from kis_write.write import Watch

__all__ = ["progress", "write"]

PATH = click.Path(path_type=Path)


class _Part(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.3
    """``K/N``: part K of N."""

    name = "K/N"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", value)
        if not found or int(found[1]) > int(found[2]):
            self.fail(f"{value!r} is no part such as 3/8.", param, ctx)
        return int(found[1]), int(found[2])


@click.command()
@click.argument("config", type=PATH)
@click.option("--tokenizer", required=True, metavar="NAME", help="The run's: a folder, a tokenizer.json, or its name.")
@click.option(
    "--block", "sequence_length", type=click.IntRange(2), required=True, metavar="COUNT", help="Tokens per row."
)
@click.option(
    "--base",
    type=PLACE,
    multiple=True,
    required=True,
    metavar="PATH",
    help="Base corpus: text as kis count reads it, a .npy of token ids, or a Megatron .bin. Repeatable.",
)
@click.option(
    "--format", "form", required=True, metavar="NAME", help="megatron, olmo, parquet, datatrove, mds, litdata."
)
@click.option(
    "--mode",
    type=click.Choice(["whole", "side"]),
    default="whole",
    show_default=True,
    help="side: the infused rows alone, which Megatron blends with an untouched base.",
)
@click.option("--rows", type=click.IntRange(1), metavar="COUNT", help="Rows of the whole run, all epochs.")
@click.option("--tokens", metavar="AMOUNT", help="Tokens of the whole run, such as 10B, in place of --rows.")
@click.option(
    "--host-seed", type=click.IntRange(0, 2**32 - 1), metavar="SEED", help="The seed by which the host shuffles."
)
@click.option("--batch", type=click.IntRange(1), metavar="ROWS", help="Rows of one global batch.")
@click.option("--keep-order", is_flag=True, help="Read the base corpus in its own order; by default it is shuffled.")
@click.option("--part", type=_Part(), default="1/1", show_default=True, help="Write one of several parts.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, metavar="COUNT", help="Processes.")
@click.option("--output", "-o", type=PATH, required=True, metavar="FOLDER", help="A new folder.")
@AS_JSON
def write(
    config: Path, tokenizer: str, sequence_length: int, base: tuple[Place, ...], form: str, mode: str, rows: int | None,
    tokens: str | None, host_seed: int | None, batch: int | None, keep_order: bool, part: tuple[int, int], workers: int,
    output: Path, as_json: bool,
) -> None:  # fmt: skip
    """Write the infused data set of a whole run.

    For frameworks without an adapter: CONFIG says what is infused, the files hold base text and infused rows in the
    format of the framework, and the manifest beside them says how to read them. Check with kis audit what is read.

    \b
    Examples:
      kis write kis.yaml --tokenizer gpt2 --block 2048 --base corpus/ --format parquet --tokens 10B -o infused
      kis write kis.yaml --tokenizer gpt2 --block 2048 --base base.bin --format megatron --rows 500000 -o infused
    """  # noqa: D301 - click reads the character, not its escape
    if (rows is None) == (tokens is None):
        raise click.UsageError("Say how long the run is: --rows or --tokens.")
    from kis_plugin.run.manifest import read_manifest
    from kis_write.request import WriteRequest
    from kis_write.write import write_dataset

    count = rows or _rows_of(tokens or "", sequence_length)
    with refusal_as_json(as_json), progress() as watch:
        request = WriteRequest(
            config, tokenizer, sequence_length, base, form, mode, count, host_seed, batch, not keep_order
        )
        path = write_dataset(request, output, part, workers, watch)
    if path is None:
        number, parts = part
        echo(json.dumps({"status": "unfinished"}) if as_json else f"Part {number} of {parts} is written.")
        return
    manifest = read_manifest(path)
    if as_json:
        click.echo(json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=2))
        return
    exposures = f"{manifest.facts:,} facts, {manifest.frequency:g} exposures each"
    echo(f"{exposures}: {manifest.infused_tokens:,} tokens, {manifest.share:.3g} of {manifest.tokens:,}.")
    echo(f"{manifest.written_rows:,} rows in {output}. For the host:")
    for name, value in manifest.flags.items():
        echo(f"  {name} {value}")
    if manifest.order == "chance":
        echo("The host trains on the rows in an order of its own.")
    echo(f"Next: kis audit {output}")


def _rows_of(tokens: str, sequence_length: int) -> int:
    """Return the whole rows in an amount of tokens."""
    from kis_plugin.amounts import parse_amount

    try:
        rows = parse_amount(tokens) // sequence_length
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--tokens") from error
    if not rows:
        raise click.BadParameter(f"{tokens} is less than a row of {sequence_length:,} tokens.", param_hint="--tokens")
    return rows


@contextmanager
def progress() -> Iterator[Watch]:
    """Show bars on stderr."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars: dict[str, Any] = {}
    with bars_on_stderr(*columns, auto_refresh=False) as shown:

        def watch(what: str, done: int, total: int | None) -> None:
            if what not in bars:
                bars[what] = shown.add_task(what, total=total)
            shown.update(bars[what], completed=done, total=total, refresh=True)

        yield watch
