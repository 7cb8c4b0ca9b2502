"""``kis score``: how likely two models find each fact and passage, for the selection ``difference``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from kis_plugin.errors import KISError, Problem
from kis_plugin.hookspecs import hookimpl

__all__ = ["score"]


HELP = """Score the knowledge of CONFIG under a small and a large model.

Every fact in its first wording, and every passage, gets its loss under both models in nats per byte, and the gap: how
much likelier the large model finds it. Then tell the configuration to keep the part with the greatest gaps:

\b
infusion:
  selection: {name: difference, scores: scores.jsonl, keep: 0.5}
"""


@hookimpl
def kis_register_commands(register: Callable[[click.Command], None]) -> None:
    """Add ``kis score``."""
    register(score)


@click.command(help=HELP, short_help="Score the knowledge of CONFIG under a small and a large model.")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--small", required=True, metavar="MODEL", help="The small model: a folder or a name on the Hub.")
@click.option("--large", required=True, metavar="MODEL", help="The large one.")
@click.option("--tokenizer", metavar="NAME", help="The tokenizer of both; by default each model's own.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The JSONL file to write.")
@click.option("--device", default=None, help="Where to run: cpu, cuda, cuda:1. By default a GPU if there is one.")
@click.option(
    "--dtype", default="auto", show_default=True, help="float32, bfloat16, ...; auto: as the model was saved."
)
@click.option(
    "--block", type=click.IntRange(16), help="Tokens a model sees at once. Default: all it takes, up to 1024."
)
@click.option("--batch-tokens", type=click.IntRange(1), default=8192, show_default=True, help="Tokens of one pass.")
def score(
    config: Path,
    small: str,
    large: str,
    tokenizer: str | None,
    output: Path,
    device: str | None,
    dtype: str,
    block: int | None,
    batch_tokens: int,
) -> None:
    """Score the knowledge of CONFIG."""
    from kis_hf import need_extra

    try:
        need_extra()
    except ImportError as error:
        found, _, hint = str(error).partition(". ")
        raise KISError(Problem("kis score", found, "torch and transformers", hint)) from error
    from kis_hf.loss import Reader
    from kis_hf.score import score_knowledge

    readers = [Reader(name, tokenizer, device, dtype, block, batch_tokens) for name in (small, large)]
    count = score_knowledge(config, readers[0], readers[1], output)
    click.echo(f"kis: {count:,} scores in {output}", err=True)
