"""What all runs of a sweep read: a tokenizer, and the base text as tokens in one file, made once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kis_plugin.counting.texts import LONGEST, parts, pieces_of, text_files
from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.atomic_write import write_atomically
from kis_plugin.storage.npy_files import GrowingFile, open_mapped
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["END", "Watch", "byte_level", "encode_text", "held_out_of", "train_tokenizer"]

END = "<|endoftext|>"
_BATCH = 64  # documents, or parts of long ones, that are tokenized together
_PIECE = 1 << 22  # tokens that are copied at a time

Watch = Callable[[str, int, int], None]
"""Told of progress: what is being done, how many bytes of it are done, and of how many."""


def byte_level(texts: Iterable[str], vocabulary: int, eos: str, lead: bool = False) -> Any:
    """Return a byte-level BPE of ``tokenizers``, as GPT-2's, trained on texts; ``eos`` is its one special token.

    With ``lead`` every text begins with a space of its own.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=lead)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[eos],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def train_tokenizer(texts: Sequence[Path], vocabulary: int, folder: Path, watch: Watch) -> None:
    """Train a byte-level BPE on the text and write it as transformers and LitGPT read it.

    Raises:
        KISError: Text that cannot be read, or too little of it for so many tokens.
    """
    try:
        tokenizer = byte_level((text for text, _ in _documents(texts, "training a tokenizer", watch)), vocabulary, END)
    except ImportError as error:
        hint = "Install it with pip install 'kis-plugin[hf]'."
        raise KISError(Problem("kis sweep", "no package tokenizers", "one to make a tokenizer with", hint)) from error
    if tokenizer.get_vocab_size() != vocabulary:
        found = f"{vocabulary:,}, and text that makes {tokenizer.get_vocab_size():,} tokens"
        raise KISError(Problem("--vocabulary", found, "at most that many", "Name a tokenizer, or give more text."))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"bos_token": END, "eos_token": END, "tokenizer_class": "PreTrainedTokenizerFast"}
    write_atomically(folder / "tokenizer_config.json", json.dumps(about) + "\n")


def encode_text(texts: Sequence[Path], tokenizer: TextTokenizer, path: Path, watch: Watch) -> int:
    """Write all documents as tokens, end to end, EOS after each; return how many tokens there are.

    Raises:
        KISError: Text that cannot be read.
    """
    file = GrowingFile(path, np.dtype(np.int32))
    count, batch = 0, list[tuple[str, bool]]()

    def write() -> int:
        ids, lengths = tokenizer.encode_ids([text for text, _ in batch])
        ends = np.cumsum(lengths)[np.array([ended for _, ended in batch], dtype=np.bool_)]
        whole = np.insert(ids, ends, tokenizer.eos).astype(np.int32)
        file.write(whole)
        batch.clear()
        return len(whole)

    for text, ended in _documents(texts, f"tokenizing into {path.name}", watch):
        batch.append((text, ended))
        if len(batch) == _BATCH:
            count += write()
    count += write() if batch else 0
    file.close()
    return count


def held_out_of(path: Path, held_out: Path, part: float, least: int) -> tuple[int, int]:
    """Take the last tokens of a text away into a file of their own.

    Args:
        path: All tokens; what is left of them stays there.
        held_out: Where the others go.
        part: How much of the text.
        least: Tokens that are taken at least.

    Returns:
        Tokens that are left, and taken.

    Raises:
        KISError: So little text that as much would be taken as left.
    """
    tokens = open_mapped(str(path))
    count = max(round(len(tokens) * part), least)
    left = len(tokens) - count
    if left < count:
        raise KISError(Problem("--text", f"{len(tokens):,} tokens", f"{2 * least:,} at least", "Give more text."))
    for place, (first, stop) in {held_out: (left, len(tokens)), path.with_suffix(".part"): (0, left)}.items():
        file = GrowingFile(place, tokens.dtype)
        for start in range(first, stop, _PIECE):
            file.write(tokens[start : min(start + _PIECE, stop)])
        file.close()
    path.with_suffix(".part").replace(path)
    return left, count


def _documents(texts: Sequence[Path], doing: str, watch: Watch) -> Iterator[tuple[str, bool]]:
    """Yield the text of documents, long ones in parts, and whether a document ends with it."""
    pieces = pieces_of(text_files(texts))
    total, done = sum(piece.stop - piece.start for piece in pieces), 0

    def read(count: int) -> Any:
        nonlocal done
        done += count
        watch(doing, done, total)

    for piece in pieces:
        for text, ended in parts(piece, read, LONGEST):
            if text.strip() or ended:
                yield text, ended
