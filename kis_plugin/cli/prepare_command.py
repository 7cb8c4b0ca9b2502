"""``kis prepare``: writes knowledge, its split and its tokens to the cache, before a run waits for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kis_plugin.escapes import to_stderr
from kis_plugin.storage.terminal import AS_JSON, echo, progress, refusal_as_json
from kis_plugin.storage.text_rules import many

if TYPE_CHECKING:
    from rich.progress import Progress

    from kis_plugin.config.schema import Config
    from kis_plugin.tokenized.infusion_split import InfusionSplit
    from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["PrepareReport", "prepare", "prepare_config"]

_STEPS = {"bytes": "hashing the files", "entries": "reading facts and passages", "texts": "tokenizing"}


@dataclass(frozen=True)
class PrepareReport:
    """What was prepared.

    Attributes:
        cache: The cache folder.
        facts: Triples.
        passages: Documents.
        infused: Facts and passages that are infused.
        control: Facts held back from infusion.
        texts: Texts of one round: one per fact, and one per chunk of a passage.
        templates: The greatest number of templates that any fact uses.
        tokens: Tokens of all texts by all their templates.
    """

    cache: str
    facts: int
    passages: int
    infused: int
    control: int
    texts: int
    templates: int
    tokens: int


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--tokenizer", required=True, metavar="NAME", help="The run's tokenizer: a folder, a tokenizer.json, or its name."
)
@click.option(
    "--block", "sequence_length", type=click.IntRange(2), required=True, metavar="COUNT", help="Tokens per row."
)
@click.option("--verify", is_flag=True, help="Compare every byte in the cache with its digest; remove what is damaged.")
@AS_JSON
def prepare(config: Path, tokenizer: str, sequence_length: int, verify: bool, as_json: bool) -> None:
    """Prepare the knowledge of a run ahead of it.

    Reads, splits and tokenizes what the configuration CONFIG names, into the cache, where runs with the same tokenizer
    and rows of the same length find it.

    \b
    Examples:
      kis prepare kis.yaml --tokenizer gpt2 --block 1024
      kis prepare kis.yaml --tokenizer gpt2 --block 1024 --verify
    """  # noqa: D301 - click reads the character, not its escape
    from kis_plugin.config.load import load_config
    from kis_plugin.tokenized.load_tokenizer import load_tokenizer

    with refusal_as_json(as_json):
        loaded = load_config(config)
        if verify:
            _verify(loaded)
        encoder = load_tokenizer(tokenizer)
        with _progress() as bars:
            report = prepare_config(loaded, encoder, sequence_length, _shown_by(bars))
            for task in bars.tasks:
                bars.update(task.id, total=task.completed)
    if as_json:
        click.echo(json.dumps({"status": "ok", **asdict(report)}, indent=2))
        return
    echo(f"{loaded.knowledge}: {many(report.facts, 'fact')}, {many(report.passages, 'passage')}.")
    held_back = many(report.control, "fact", ("is held back as a control", "are held back as controls"))
    echo(f"{report.infused:,} {'is' if report.infused == 1 else 'are'} infused, {held_back}.")
    texts = f"{report.texts:,} texts by up to {report.templates:,} templates"
    echo(f"{texts} are {report.tokens:,} tokens for rows of {sequence_length:,}.")
    echo(f"Prepared in {report.cache}")


def _verify(config: Config) -> None:
    """Remove damaged artifacts from the cache, so that they are prepared again."""
    from kis_plugin.storage.artifact_cache import cache_folder, damaged_artifacts, remove_artifact

    folder = cache_folder(config.cache)
    damaged = list(damaged_artifacts(folder))
    for place, reason in damaged:
        remove_artifact(place)
        to_stderr(f"kis: {place}: {reason}; removed, and prepared again where it is needed")
    to_stderr(f"kis: {folder}: every byte compared, {len(damaged)} damaged")


def prepare_config(
    config: Config, tokenizer: TextTokenizer, sequence_length: int, show: Callable[[str, int, int | None], None]
) -> PrepareReport:
    """Prepare all that a run reads, in the cache even if it is small.

    Args:
        config: The run's configuration.
        tokenizer: The run's tokenizer.
        sequence_length: Tokens per row.
        show: Called with the progress: the step, how much of it is done, and the total or None if it is not known.

    Raises:
        KISError: Any error that would end such a run before its first step.
    """
    from kis_plugin.storage.artifact_cache import cache_folder
    from kis_plugin.tokenized.infusion_split import prepare_split
    from kis_plugin.tokenized.texts import load_texts

    size = _size(config.knowledge)
    split = prepare_split(config, lambda step, done: show(step, done, size if step == "bytes" else None))
    counting = _Counting(tokenizer, _texts(config, split), show)
    texts = load_texts(config, split, counting, sequence_length)
    return PrepareReport(
        cache=str(split.cache or cache_folder(config.cache)),
        facts=len(split.knowledge.facts),
        passages=len(split.knowledge.passages),
        infused=len(split.infused) + len(split.passages_infused),
        control=len(split.control),
        texts=len(texts),
        templates=texts.templates,
        tokens=len(texts.tokens),
    )


class _Counting:
    """A tokenizer that reports how many texts it has encoded."""

    def __init__(
        self, tokenizer: TextTokenizer, total: int | None, show: Callable[[str, int, int | None], None]
    ) -> None:
        from kis_plugin.tokenized.tokenizer import NormalizingTokenizer

        self._tokenizer, self._total, self._show = tokenizer, total, show
        self._done = 0
        if isinstance(tokenizer, NormalizingTokenizer):
            self.reserved, self.normalized = tokenizer.reserved, tokenizer.normalized

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode(self, texts: Sequence[str]) -> Any:
        """Encode, and count."""
        return self._counted(texts, self._tokenizer.encode(texts))

    def encode_ids(self, texts: Sequence[str]) -> Any:
        """Encode, and count."""
        return self._counted(texts, self._tokenizer.encode_ids(texts))

    def _counted(self, texts: Sequence[str], encoded: Any) -> Any:
        self._done += len(texts)
        self._show("texts", self._done, None if self._total is None else max(self._total, self._done))
        return encoded


def _texts(config: Config, split: InfusionSplit) -> int | None:
    """Return how many texts are to be tokenized; None for passages, whose chunks are not known yet."""
    from kis_plugin.config.options import chosen

    if len(split.passages_infused):
        return None
    renderer = chosen("renderers", config.infusion.rendering, f"{config.path or 'config'} infusion.rendering")
    own = max((renderer.template_count(relation, split.book) for relation in split.relations), default=1)
    return len(split.infused) * min(own, config.infusion.templates_used or own)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())


def _progress() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    return progress(
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )


def _shown_by(display: Progress) -> Callable[[str, int, int | None], None]:
    """Return a function that shows each step as its own progress bar."""
    bars = {}

    def show(step: str, done: int, total: int | None) -> None:
        if step not in bars:
            bars[step] = display.add_task(_STEPS[step], total=total)
        display.update(bars[step], completed=done, total=total)

    return show
