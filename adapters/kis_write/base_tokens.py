"""The base corpus as one stream of tokens: read where it is tokenized, tokenized once where it is text."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kis_plugin.counting.places import Place
from kis_plugin.counting.texts import parts, pieces_of, text_files
from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.atomic_write import explained_writing, write_atomically
from kis_plugin.storage.npy_files import read_array, read_raw
from kis_plugin.tokenized.tokenizer import TextTokenizer
from kis_write.megatron_files import read_index

__all__ = ["TOKENS", "BaseTokens", "megatron_prefix", "open_base", "refuse_ids", "token_type"]

TOKENS = "base.npy"
"""Name of the file, beside the data set, that holds the base corpus as tokens where it was text."""
_LOOKED_AT = 1_000_000  # tokens of a tokenized file; the others are looked at when they are written
_PARTS = 512  # tokenized at a time
Watch = Callable[[int], None]

BaseTokens = npt.NDArray[np.integer]
"""(tokens,), memory-mapped: documents end to end, each with its EOS."""


def token_type(vocabulary: int) -> type[np.integer]:
    """Return the smallest type that all hosts read: uint16, or int32 for a vocabulary of 65,500 tokens and more."""
    return np.uint16 if vocabulary < 65_500 else np.int32


def open_base(
    paths: Sequence[Place], tokenizer: TextTokenizer, vocabulary: int, folder: Path, begin: int | None, watch: Watch
) -> BaseTokens:
    """Return the tokens of a base corpus.

    Args:
        paths: One tokenized file (a one-dimensional ``.npy``, or a Megatron ``.bin`` with its ``.idx``, named with or
            without its ending), or files and folders of text, or their URLs.
        tokenizer: For text; each document is followed by its EOS.
        vocabulary: One more than the greatest token id.
        folder: Where the tokens of text are kept.
        begin: The token before each document of text; None for none.
        watch: Called with the number of documents tokenized so far.

    Raises:
        KISError: Nothing to read, a file that is neither, or token ids beyond the vocabulary.
    """
    tokens = _tokenized(paths)
    if tokens is None:
        place = folder / TOKENS
        if not place.exists():
            _tokenize(paths, tokenizer, vocabulary, place, begin, watch)
        tokens = read_array(place, hint="Remove it, and write again.")
    if not len(tokens):
        raise KISError(Problem(f"--base {paths[0]}", "no tokens", "text, or a tokenized file"))
    refuse_ids(np.append(tokens[:: max(len(tokens) // _LOOKED_AT, 1)], tokens[-1]), vocabulary, f"--base {paths[0]}")
    return tokens


def refuse_ids(tokens: BaseTokens, vocabulary: int, where: str) -> None:
    """Refuse token ids that no token has: converted to the type of a file, they would become other tokens.

    Raises:
        KISError: An id is negative, or not below ``vocabulary``.
    """
    for found in (int(tokens.min(initial=0)), int(tokens.max(initial=0))):
        if not 0 <= found < vocabulary:
            expected = f"ids from 0, below the tokenizer's {vocabulary:,}"
            raise KISError(Problem(where, f"token id {found}", expected, "Name the base's tokenizer."))


def _tokenized(paths: Sequence[Place]) -> BaseTokens | None:
    """Return the tokens of a tokenized file; None where the paths are text."""
    first = paths[0]
    prefix = megatron_prefix(first)
    if not isinstance(first, Path) or (first.suffix != ".npy" and prefix is None):
        return None
    if len(paths) > 1:
        raise KISError(Problem("--base", f"{len(paths)} paths, {first.name} among them", "one tokenized file, or text"))
    return _numpy(first) if prefix is None else _megatron(prefix)


def megatron_prefix(place: Place) -> Path | None:
    """Return the name of a Megatron data set without its endings; None for any other place."""
    if not isinstance(place, Path):
        return None
    if place.suffix in (".bin", ".idx"):
        return place.with_suffix("")
    return place if Path(f"{place}.idx").is_file() else None


def _numpy(path: Path) -> BaseTokens:
    hint = "A file without a header, as OLMo-core writes, is not read: numpy.save adds one."
    tokens = read_array(path, f"--base {path}", hint)
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        found = f"an array of shape {tokens.shape} and type {tokens.dtype}"
        raise KISError(Problem(f"--base {path}", found, "a one-dimensional array of token ids"))
    return tokens


def _megatron(prefix: Path) -> BaseTokens:
    index = read_index(Path(f"{prefix}.idx"))
    tokens: BaseTokens = read_raw(Path(f"{prefix}.bin"), index.dtype).ravel()
    if len(tokens) != int(index.lengths.sum(dtype=np.int64)):
        found = f"{len(tokens):,} tokens"
        raise KISError(Problem(f"{prefix}.bin", found, f"{int(index.lengths.sum(dtype=np.int64)):,}, by its .idx"))
    return tokens


def _tokenize(
    paths: Sequence[Place], tokenizer: TextTokenizer, vocabulary: int, place: Path, begin: int | None, watch: Watch
) -> None:
    """Write the tokens of text files as one array, all or nothing."""
    dtype, done, total = token_type(vocabulary), 0, 0
    with tempfile.TemporaryFile(dir=place.parent) as raw:  # gone at any exit
        parts_left = _parts(paths)
        while some := list(islice(parts_left, _PARTS)):
            tokens = _joined(some, tokenizer, begin).astype(dtype)
            with explained_writing(str(place)):
                raw.write(tokens.tobytes())
            done, total = done + sum(part.ends for part in some), total + len(tokens)
            watch(done)
        with explained_writing(str(place)):
            raw.flush()
        held = np.memmap(raw, dtype=dtype, mode="r", shape=(total,)) if total else np.zeros(0, dtype=dtype)
        write_atomically(place, lambda file: np.save(file, held, allow_pickle=False))


class _Part(NamedTuple):
    """A stretch of a document: all of it, unless it is very long."""

    text: str
    begins: bool
    ends: bool


def _parts(paths: Sequence[Place]) -> Iterator[_Part]:
    for piece in pieces_of(text_files(paths)):
        begins = True
        for part in parts(piece, lambda count: None):
            yield _Part(part.text, begins, part.ends)
            begins = part.ends


def _joined(some: Sequence[_Part], tokenizer: TextTokenizer, begin: int | None) -> npt.NDArray[np.int32]:
    """Return the tokens of some parts, with the token that begins a document and the EOS that ends it."""
    ids, lengths = tokenizer.encode_ids([part.text for part in some])
    stops = np.cumsum(lengths)
    added = np.array([(part.begins and begin is not None, part.ends) for part in some], dtype=np.bool_)  # (parts, 2)
    places = np.stack([stops - lengths, stops], axis=1)[added]  # in the order of the parts, which insert keeps
    marks = np.broadcast_to([tokenizer.eos if begin is None else begin, tokenizer.eos], added.shape)[added]
    joined: npt.NDArray[np.int32] = np.insert(ids, places, marks)
    return joined
