"""Difference sampling of a corpus (MiniPLM): pieces scored under two models, those with the largest difference kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from rich.progress import MofNCompleteColumn, SpinnerColumn, TextColumn

from kis_hf.loss import LoadedReader, Reader
from kis_hf.one_tokenizer import difference
from kis_plugin.counting.places import Place
from kis_plugin.counting.texts import parts, pieces_of, text_files
from kis_plugin.difference.pieces import Packer, Piece, SentenceEnds, Tokens
from kis_plugin.difference.selection import kept_of, largest
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.storage.atomic_write import write_atomically
from kis_plugin.storage.terminal import progress

__all__ = ["Sample", "packer_for", "pieces_in", "sample_corpus"]

_CHUNK = 512  # pieces that are sorted by length together


@dataclass(frozen=True)
class Sample:
    """What was sampled.

    Attributes:
        pieces: Pieces of the corpus.
        kept: How many of them were kept: ``int(keep * pieces)``.
        tokens: Tokens of all pieces.
        tokens_kept: Tokens of those that were kept.
        left_out: Tokens after the last full piece, which belong to none.
    """

    pieces: int
    kept: int
    tokens: int
    tokens_kept: int
    left_out: int


@dataclass
class _Scores:
    """Mean nats per token of each piece under both models, and its tokens."""

    small: list[float] = field(default_factory=list)
    large: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)


def sample_corpus(
    texts: Sequence[Path], small: Reader, large: Reader, keep: float, output: Path, scores: Path | None = None
) -> Sample:
    """Score the pieces of a corpus and write those with the largest difference, in the order of the corpus.

    Both models are in memory. A piece has at most one token more than a row of the model that takes the shorter ones.

    Args:
        texts: Files and folders of text.
        small: The small model, the reference.
        large: The large model, the teacher.
        keep: The fraction of the pieces to keep.
        output: The JSON lines to write: one for each document that a kept piece has a part of.
        scores: Where to write the scores of all pieces, as JSON lines; None for nowhere.

    Raises:
        KISError: Nothing to read, models with two tokenizers, a corpus with too few pieces, a loss that is not finite,
            or a file that cannot be written.
    """
    files = text_files(texts)
    _refuse_places({"--output": output, "--scores": scores})
    models = (small.load(), large.load())
    tokenizer = models[0].tokenizer
    if found := difference(tokenizer, models[1].tokenizer):
        hint = "A loss per token compares models of one tokenizer only; kis score compares others, per byte."
        raise KISError(Problem(f"tokenizers of {small.name} and {large.name}", found, "one tokenizer for both", hint))
    longest = 1 + min(model.sequence_length for model in models)
    packer = packer_for(tokenizer, longest)
    scored = _scored(models, pieces_in(files, tokenizer, packer))
    kept = _kept(keep, scored, longest)
    if scores is not None:
        write_atomically(scores, partial(_write_scores, scored, set(kept.tolist())), where=f"--scores {scores}")
    pieces = pieces_in(files, tokenizer, packer_for(tokenizer, longest))
    write_atomically(output, partial(_write_pieces, pieces, set(kept.tolist())), where=f"--output {output}")
    tokens = np.array(scored.tokens, dtype=np.int64)
    return Sample(len(tokens), len(kept), int(tokens.sum()), int(tokens[kept].sum()), packer.left)


def _refuse_places(named: Mapping[str, Path | None]) -> None:
    """Refuse files that cannot be written, before anything is scored: no folder, or a file that is there already."""
    problems = []
    for option, path in named.items():
        if path is None:
            continue
        if not path.absolute().parent.is_dir():
            problems.append(Problem(option, f"{path}: no such folder", "a file in a folder that is there"))
        elif path.exists():
            problems.append(Problem(option, f"{path}, which exists already", "the name of a new file"))
    if problems:
        raise KISError(problems)


def packer_for(tokenizer: Any, longest: int) -> Packer:
    """Return what packs documents into pieces of at most ``longest`` tokens, for a tokenizer of ``transformers``."""
    vocabulary = [tokenizer.decode([number]) for number in range(len(tokenizer))]
    begin = tokenizer("")["input_ids"][:1]
    ends = SentenceEnds.of(vocabulary, tokenizer.decode, int(tokenizer.eos_token_id))
    return Packer(ends, longest, int(begin[0]) if begin else None)


def pieces_in(files: Sequence[Place], tokenizer: Any, packer: Packer) -> Iterator[Piece]:
    """Yield the pieces of the corpus; the same each time."""
    for piece in pieces_of(files):
        for part in parts(piece, lambda count: None):
            encoded = tokenizer(part.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            starts = [start for start, _ in encoded["offset_mapping"]]
            yield from packer.add(Tokens(part.text, encoded["input_ids"], starts, part.ends))


def _scored(models: Sequence[LoadedReader], pieces: Iterator[Piece]) -> _Scores:
    """Score all pieces under both models."""
    found = _Scores()
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), MofNCompleteColumn())
    with progress(*columns) as bars:
        task = bars.add_task("pieces scored", total=None)
        while some := [piece.ids for piece in islice(pieces, _CHUNK)]:
            for means, model in zip((found.small, found.large), models, strict=True):
                means += model.mean_losses(some).tolist()
            found.tokens += map(len, some)
            bars.advance(task, len(some))
    return found


def _kept(keep: float, scored: _Scores, longest: int) -> IntArray:
    """Return the places of the kept pieces, sorted."""
    gaps = np.array(scored.small) - np.array(scored.large)
    if not np.isfinite(gaps).all():
        found = f"a loss that is not finite, of piece {int(np.flatnonzero(~np.isfinite(gaps))[0])}"
        raise KISError(Problem("--small or --large", found, "numbers", "Score in float32: --dtype float32."))
    count = kept_of(keep, len(gaps))
    if not count:
        found = f"{len(gaps):,} pieces of up to {longest:,} tokens, of which {keep:g} is none"
        raise KISError(Problem("TEXT", found, "text for more pieces", "Shorten the pieces: --block."))
    return largest(gaps, count, seed=0)


def _write_scores(scored: _Scores, kept: set[int], file: BinaryIO) -> None:
    for number, (tokens, small, large) in enumerate(zip(scored.tokens, scored.small, scored.large, strict=True)):
        line = {"piece": number, "small": small, "large": large, "gap": small - large, "tokens": tokens}
        file.write((json.dumps({**line, "kept": number in kept}) + "\n").encode())


def _write_pieces(pieces: Iterator[Piece], kept: set[int], file: BinaryIO) -> None:
    for number, piece in enumerate(pieces):
        for place, text in enumerate(piece.texts if number in kept else ()):
            line = {"id": f"{number}.{place}", "text": text}
            file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())
