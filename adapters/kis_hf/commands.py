"""What ``kis_hf`` adds to ``kis``: ``score`` and ``sample``, saved models, runs of sweeps, scripts of ``init``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kis_plugin.errors import need_or_refuse
from kis_plugin.escapes import to_stderr
from kis_plugin.hook_markers import hookimpl

if TYPE_CHECKING:
    from kis_plugin.run.protocols import ModelLoader
    from kis_plugin.run.saved_model import LoadedModel, LoadOptions
    from kis_plugin.starter.protocols import Starter
    from kis_sweep.protocols import Framework
    from kis_sweep.run_spec import Shape, SweepRun

__all__ = ["sample", "score"]

_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)  # on the hub

HELP = """Score the knowledge of CONFIG under a small and a large model.

Every fact, phrased by its first template, and every passage gets its loss under both models in nats per byte, and the
gap: how much likelier it is under the large model. A configuration then keeps the part with the greatest gaps:

\b
infusion:
  selection: {name: difference, scores: scores.jsonl, keep: 0.5}

\b
Examples:
  kis score kis.yaml --small gpt2 --large gpt2-xl -o scores.jsonl
"""


SAMPLE_HELP = """Keep the part of a corpus with the largest difference between two models (MiniPLM).

TEXT are files and folders of .txt (documents separated by form feeds), .jsonl (with "text"), both also .gz, .xz or
.zst, or .parquet with a column "text". The documents are packed into pieces of one token more than a row, cut back to
the last sentence end. A piece's score is its mean loss in nats per token under the small model minus that under the
large one; both must have one tokenizer. Exactly int(keep * n) of n pieces are written, in the order of the corpus,
one line for each document in a piece.

\b
Examples:
  kis sample corpus/ --small reference --large teacher --keep 0.5 -o kept.jsonl
  kis sample a.jsonl.gz b.jsonl.gz --small reference --large teacher -o kept.jsonl --scores scores.jsonl
"""


class SavedTransformer:
    """A folder that ``save_pretrained``, the Trainer or PEFT wrote, or a name on the Hugging Face hub."""

    name = "transformers"

    def claims(self, model: str) -> bool:
        """Return whether ``model`` is such a folder, or a name that no path has.

        A folder of LitGPT's may hold the ``config.json`` that its weights were converted from, and is not claimed.
        """
        path = Path(model)
        if (path / "lit_model.pth").exists():
            return False
        if any((path / config).is_file() for config in ("config.json", "adapter_config.json")):
            return True
        return _NAME.fullmatch(model) is not None and not path.exists()

    def load(self, model: str, options: LoadOptions) -> LoadedModel:
        """Load it.

        Raises:
            KISError: It cannot be loaded; or torch or transformers is not installed.
        """
        _need_extra(f"model {model}")
        from kis_hf.saved import load_saved

        return load_saved(model, options)


class TrainerFramework:
    """Trains the runs of a sweep with the Trainer of ``transformers``."""

    name = "hf"

    def train(self, run: SweepRun) -> None:
        """Train one.

        Raises:
            KISError: What is wrong with its configuration; or torch or transformers is not installed.
        """
        _need_extra("kis sweep --framework hf")
        from kis_hf.sweep_training import train

        train(run)

    def seconds_per_step(self, run: SweepRun) -> float:
        """Time a few steps."""
        _need_extra("kis sweep --framework hf")
        from kis_hf.sweep_training import seconds_per_step

        return seconds_per_step(run)

    def shape_of(self, model: str, sequence_length: int) -> Shape:
        """Return the shape of a trained model.

        Raises:
            KISError: There is none, or it is no Llama.
        """
        _need_extra("kis sweep --framework hf")
        from kis_hf.sweep_training import shape_of

        return shape_of(model, sequence_length)


@hookimpl
def kis_register_frameworks(register: Callable[[Framework], None]) -> None:
    """Add the Trainer."""
    register(TrainerFramework())


@hookimpl
def kis_register_model_loaders(register: Callable[[ModelLoader], None]) -> None:
    """Add saved models of transformers."""
    register(SavedTransformer())


@hookimpl
def kis_register_starters(register: Callable[[Starter], None]) -> None:
    """Add the Trainer, TRL, and the plain loop, whose model and tokenizer are those of transformers too."""
    from kis_hf.starter import TrainerStarter, TRLStarter
    from kis_torch.starter import TorchStarter

    for starter in (TrainerStarter(), TRLStarter(), TorchStarter()):
        register(starter)


@hookimpl
def kis_register_commands(register: Callable[[click.Command], None]) -> None:
    """Add ``kis score`` and ``kis sample``."""
    register(score)
    register(sample)


def _model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that both commands have: two models, and how they run."""
    options = (
        click.option("--small", required=True, metavar="MODEL", help="The small model: a folder or a name on the Hub."),
        click.option("--large", required=True, metavar="MODEL", help="The large one."),
        click.option("--tokenizer", metavar="NAME", help="The tokenizer of both; by default each model's own."),
        click.option("--device", default=None, help="Where to run: cpu, cuda, cuda:1. Default: a GPU if there is one."),
        click.option(
            "--dtype", default="auto", show_default=True, help="float32, bfloat16, ...; auto: as the model was saved."
        ),
        click.option(
            "--block",
            "sequence_length",
            type=click.IntRange(16),
            help="Tokens of a row. Default: all that the model takes, up to 1024.",
        ),
        click.option(
            "--batch-tokens",
            type=click.IntRange(1),
            default=8192,
            show_default=True,
            help="Tokens of one forward pass.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(help=HELP, short_help="Score the knowledge of CONFIG under a small and a large model.")
@click.argument("config", type=click.Path(path_type=Path))
@_model_options
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The JSONL file to write.")
def score(
    config: Path,
    small: str,
    large: str,
    tokenizer: str | None,
    output: Path,
    device: str | None,
    dtype: str,
    sequence_length: int | None,
    batch_tokens: int,
) -> None:
    """Score the knowledge of CONFIG."""
    _need_extra("kis score")
    from kis_hf.loss import Reader
    from kis_hf.score import score_knowledge

    readers = [Reader(name, tokenizer, device, dtype, sequence_length, batch_tokens) for name in (small, large)]
    count = score_knowledge(config, readers[0], readers[1], output)
    to_stderr(f"kis: {count:,} scores in {output}")


@click.command(help=SAMPLE_HELP, short_help="Keep the part of a corpus with the largest difference of two models.")
@click.argument("texts", metavar="TEXT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@_model_options
@click.option(
    "--keep", type=click.FloatRange(0, 1, min_open=True), default=0.5, show_default=True,
    help="The fraction of the pieces to keep, rounded down to a whole number of pieces.",
)  # fmt: skip
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The JSONL file of kept text.")
@click.option(
    "--scores", type=click.Path(path_type=Path), metavar="FILE", help="Write the scores of all pieces, as JSONL."
)
def sample(
    texts: tuple[Path, ...], small: str, large: str, tokenizer: str | None, keep: float, output: Path,
    scores: Path | None, device: str | None, dtype: str, sequence_length: int | None, batch_tokens: int,
) -> None:  # fmt: skip
    """Sample a corpus."""
    _need_extra("kis sample")
    from kis_hf.loss import Reader
    from kis_hf.sample import sample_corpus

    readers = [Reader(name, tokenizer, device, dtype, sequence_length, batch_tokens) for name in (small, large)]
    made = sample_corpus(texts, readers[0], readers[1], keep, output, scores)
    kept = f"{made.kept:,} of {made.pieces:,} pieces, {made.tokens_kept:,} of {made.tokens:,} tokens"
    to_stderr(f"kis: {kept}, in {output}; {made.left_out:,} tokens after the last full piece are left out")


def _need_extra(where: str) -> None:
    """Refuse to go on without torch and transformers.

    Raises:
        KISError: Says which extra brings them.
    """
    from kis_hf import need_extra

    need_or_refuse(where, need_extra, "torch and transformers")
