"""``kis runs``: what can be done with the logs of many runs."""

from __future__ import annotations

from pathlib import Path

import click

from kis_plugin.escapes import to_stderr
from kis_plugin.storage.terminal import echo
from kis_predict.efficiency.command import efficiency

__all__ = ["runs"]


@click.group(name="runs", context_settings={"help_option_names": ["-h", "--help"]})
def runs() -> None:
    """Work with the logs of many runs."""


runs.add_command(efficiency)


@runs.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE",
    help="The archive to write: .tar.xz, .tar.gz or .tar.",
)  # fmt: skip
@click.option(
    "--also", multiple=True, metavar="PATTERN",
    help="Further files to include, by name: 'config.json', 'exposures-*.npz'. May be repeated.",
)  # fmt: skip
def collect(folder: Path, output: Path, also: tuple[str, ...]) -> None:
    """Collect all run logs below FOLDER in one compressed file.

    kis-predict reads it as it is:

    \b
    Examples:
      kis runs collect runs/ -o logs.tar.xz
      kis-predict --logs logs.tar.xz --target 7B

    Included are the files that kis-predict reads (kis.jsonl, CSV tables, trainer_state.json, LitGPT's metrics.csv with
    its hyperparameters.yaml, TensorBoard's event files) and every kis.json. The same logs always give the same bytes.
    """  # noqa: D301 (click's mark for lines that stay as they are)
    from kis_plugin.registry import registered
    from kis_predict.protocols import NamedReader
    from kis_predict.readers import archive
    from kis_predict.readers.column_mapping import SIDECAR

    named = [
        name
        for reader in registered("log_readers").values()
        if isinstance(reader, NamedReader)
        for name in reader.names
    ]
    patterns = list(dict.fromkeys([*named, SIDECAR, *also]))
    count = archive.collect(folder, output, patterns, to_stderr)
    size = output.stat().st_size
    shown = f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"
    echo(f"Collected {count:,} file{'s' if count != 1 else ''} in {output} ({shown}).")
