"""Scores every text of the knowledge under one model, then under the other, so that one at a time is in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from kis_hf.loss import LoadedReader, Losses, Reader
from kis_hf.one_tokenizer import difference
from kis_plugin.config.choice import Choice
from kis_plugin.config.load import load_config
from kis_plugin.config.options import chosen
from kis_plugin.config.schema import Config
from kis_plugin.difference.score_file import Score, entry_key, refuse_other_file, write_scores
from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.facts import Fact, Passage
from kis_plugin.run.identity import versions
from kis_plugin.storage.terminal import progress
from kis_plugin.tokenized.infusion_split import InfusionSplit, load_split

__all__ = ["score_knowledge"]

_CHUNK = 4096  # texts that are sorted by length together


def score_knowledge(path: Path, small: Reader, large: Reader, output: Path) -> int:
    """Score every fact, phrased by its first template, and every passage of a configuration's knowledge.

    Args:
        path: The ``kis.yaml``. Its selection is ignored, since it may need these scores.
        small: The small model.
        large: The large model.
        output: The file to write.

    Returns:
        How many entries were scored.

    Raises:
        KISError: Bad configuration or knowledge, no such model, or a file that cannot be written.
    """
    refuse_other_file(output)
    config = load_config(path)
    config = replace(config, infusion=replace(config.infusion, selection=Choice("all")))
    split = load_split(config)
    if not len(split.knowledge):
        raise KISError(Problem(str(config.knowledge), "no facts and no passages", "something to score"))
    results, tokenizers = [], []
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress(*columns) as bars:
        for reader in (small, large):
            task = bars.add_task(reader.name, total=len(split.knowledge))
            loaded = reader.load()
            results.append(_losses(loaded, config, split, partial(bars.advance, task)))
            tokenizers.append(loaded.tokenizer)
            del loaded  # before the next one comes
    about = {**_about(config, split, small, large), "one_tokenizer": not difference(*tokenizers)}
    write_scores(output, about, _scores(config, split, *results))
    return len(split.knowledge)


def _losses(loaded: LoadedReader, config: Config, split: InfusionSplit, advance: Callable[[int], None]) -> Losses:
    """Return the losses of every entry under one model."""
    nats = np.zeros(len(split.knowledge))
    tokens = np.zeros(len(split.knowledge), dtype=np.int64)
    entries, start = _entries(split), 0
    while some := list(islice(entries, _CHUNK)):
        losses = loaded.losses(_texts(config, split, some))
        nats[start : start + len(some)] = losses.nats
        tokens[start : start + len(some)] = losses.tokens
        start += len(some)
        advance(len(some))
    return Losses(nats, tokens)


def _scores(config: Config, split: InfusionSplit, small: Losses, large: Losses) -> Iterator[Score]:
    entries, start = _entries(split), 0
    while some := list(islice(entries, _CHUNK)):
        for place, (entry, text) in enumerate(zip(some, _texts(config, split, some), strict=True), start=start):
            size = len(text.encode())
            yield Score(
                id=entry.id,
                small=float(small.nats[place] / size),
                large=float(large.nats[place] / size),
                tokens=(int(small.tokens[place]), int(large.tokens[place])),
                bytes=size,
                key=f"{entry_key(entry):016x}",
            )
        start += len(some)


def _entries(split: InfusionSplit) -> Iterator[Fact | Passage]:
    return chain(split.knowledge.facts, split.knowledge.passages)


def _texts(config: Config, split: InfusionSplit, entries: Sequence[Fact | Passage]) -> list[str]:
    renderer = chosen("renderers", config.infusion.rendering, f"{config.path} infusion.rendering")
    return [
        entry.text if isinstance(entry, Passage) else renderer.render(entry, 0, split.book).text for entry in entries
    ]


def _about(config: Config, split: InfusionSplit, small: Reader, large: Reader) -> dict[str, Any]:
    return {
        "knowledge": split.fingerprint,
        "entries": len(split.knowledge),
        "rendering": str(config.infusion.rendering),
        "templates": config.templates,
        "small": small.name,
        "large": large.name,
        "tokenizers": [reader.tokenizer or reader.name for reader in (small, large)],
        "dtype": small.dtype,
        "versions": versions("torch", "transformers"),
    }
