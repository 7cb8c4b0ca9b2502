"""The command ``kis synth``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kis_plugin.storage.terminal import AS_JSON, console, progress, refusal_as_json, table
from kis_plugin.synthetic.catalog import DOMAINS

if TYPE_CHECKING:
    from kis_plugin.synthetic.writing import SynthReport

__all__ = ["MOST", "synth"]

LEAST, MOST = 10, 10_000_000


@click.command()
@click.argument("domain", type=click.Choice(list(DOMAINS)))
@click.option("--count", "-n", required=True, type=click.IntRange(LEAST, MOST), help="How many people or companies.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all random choices.")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="The folder, new or empty.")
@AS_JSON
def synth(domain: str, count: int, seed: int, output: Path, as_json: bool) -> None:
    """Write fictional facts whose information is known, for calibration.

    Six facts about each of the people or companies, none of whom exist; 40 sentences for each kind of fact, of which
    half are held out; a kis.yaml; and a README with the bits of each fact. Objects are uniform and independent.

    \b
    Examples:
      kis synth people --count 5000 -o facts
      kis synth companies --count 200 --seed 1 -o companies
    """  # noqa: D301 - click reads the character, not its escape
    from kis_plugin.synthetic.writing import write_synthetic

    with refusal_as_json(as_json), progress() as bars:
        task = bars.add_task(f"writing {domain}", total=count)
        report = write_synthetic(domain, count, seed, output, lambda done: bars.update(task, completed=done))
    if as_json:
        click.echo(json.dumps({"status": "ok", **vars(report)}, indent=2))
    else:
        _show(report)


def _show(report: SynthReport) -> None:
    out = console()
    out.print(f"{report.facts:,} facts about {report.count:,} {report.domain} in {report.folder}")
    shown = table("attribute", "objects", "bits a fact", numbers=(1, 2))
    for relation, bits in report.bits.items():
        shown.add_row(relation, f"{report.options[relation]:,}", f"{bits:.3f}")
    out.print(shown)
    out.print(f"Together {report.total_bits:,.0f} bits.")
    out.print(f"Next: kis check {shlex.quote(str(Path(report.folder) / 'kis.yaml'))}")
