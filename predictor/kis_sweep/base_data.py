"""Data that all runs of a sweep share: a tokenizer, and the base text as tokens in one file, written once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kis_plugin.counting.texts import LONGEST, parts, pieces_of, text_files
from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.atomic_write import explained_writing, write_atomically
from kis_plugin.storage.npy_files import GrowingFile, open_mapped
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["END", "Watch", "byte_level", "encode_text", "held_out_of", "train_tokenizer"]

END = "<|endoftext|>"
_BATCH = 64  # documents, or parts of long ones, per call of the tokenizer
_PIECE = 1 << 22  # tokens copied at a time

Watch = Callable[[str, int, int], None]
"""Called with progress: the current task, the bytes processed, and the total bytes."""


def byte_level(texts: Iterable[str], vocabulary: int, eos: str, lead: bool = False) -> Any:
    """Train a byte-level BPE of the package ``tokenizers``, like that of GPT-2; ``eos`` is its only special token.

    With ``lead``, a space is put before every text.
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
    """Train a byte-level BPE on the text and write it in the format that transformers and LitGPT read.

    Raises:
        KISError: The text cannot be read, or is too short for the vocabulary.
    """
    try:
        tokenizer = byte_level((text for text, _ in _documents(texts, "training a tokenizer", watch)), vocabulary, END)
    except ImportError as error:
        hint = "Install it with pip install 'kis-plugin[hf]'."
        raise KISError(
            Problem("kis sweep", "no package tokenizers", "the package, to train a tokenizer", hint)
        ) from error
    if tokenizer.get_vocab_size() != vocabulary:
        found = f"{vocabulary:,}, and text that yields {tokenizer.get_vocab_size():,} tokens"
        raise KISError(
            Problem(
                "--vocabulary",
                found,
                "at most as many tokens as the text yields",
                "Name a tokenizer, or give more text.",
            )
        )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"bos_token": END, "eos_token": END, "tokenizer_class": "PreTrainedTokenizerFast"}
    write_atomically(folder / "tokenizer_config.json", json.dumps(about) + "\n")


def encode_text(
    texts: Sequence[Path], tokenizer: TextTokenizer, path: Path, watch: Watch, begin: int | None = None
) -> int:
    """Write all documents as tokens, concatenated, with EOS after each; return the number of tokens.

    Args:
        texts: Files and folders of text.
        tokenizer: Of all runs.
        path: The file to write.
        watch: Called with the progress.
        begin: The token before each document; None for none.

    Raises:
        KISError: The text cannot be read.
    """
    file = GrowingFile(path, np.dtype(np.int32))
    count, batch = 0, list[tuple[str, bool, bool]]()
    begins = True  # whether the next part begins a document

    def write() -> int:
        ids, lengths = tokenizer.encode_ids([text for text, _, _ in batch])
        ends = np.cumsum(lengths)
        added = np.array([[begun and begin is not None, ended] for _, begun, ended in batch], dtype=np.bool_)
        places = np.stack([ends - lengths, ends], axis=1)[added]  # in the order of the parts, which insert keeps
        marks = np.broadcast_to([tokenizer.eos if begin is None else begin, tokenizer.eos], added.shape)[added]
        tokens = np.insert(ids, places, marks).astype(np.int32)
        with explained_writing(str(path)):
            file.write(tokens)
        batch.clear()
        return len(tokens)

    for text, ended in _documents(texts, f"tokenizing into {path.name}", watch):
        batch.append((text, begins, ended))
        begins = ended
        if len(batch) == _BATCH:
            count += write()
    count += write() if batch else 0
    with explained_writing(str(path)):
        file.close()
    return count


def held_out_of(path: Path, held_out: Path, fraction: float, least: int) -> tuple[int, int]:
    """Move the last tokens of a text into a separate file of held-out text.

    Args:
        path: File of all tokens; it keeps those that are trained on.
        held_out: File for the held-out tokens.
        fraction: Fraction of the text to hold out.
        least: Minimum number of tokens to hold out.

    Returns:
        The number of tokens kept, and of those held out.

    Raises:
        KISError: The text is so short that fewer tokens would be kept than held out.
    """
    tokens = open_mapped(str(path))
    count = max(round(len(tokens) * fraction), least)
    kept = len(tokens) - count
    if kept < count:
        raise KISError(Problem("--text", f"{len(tokens):,} tokens", f"at least {2 * least:,}", "Give more text."))
    for file_path, (first, stop) in {held_out: (kept, len(tokens)), path.with_suffix(".part"): (0, kept)}.items():
        with explained_writing(str(file_path)):
            file = GrowingFile(file_path, tokens.dtype)
            for start in range(first, stop, _PIECE):
                file.write(tokens[start : min(start + _PIECE, stop)])
            file.close()
    path.with_suffix(".part").replace(path)
    return kept, count


def _documents(texts: Sequence[Path], task: str, watch: Watch) -> Iterator[tuple[str, bool]]:
    """Yield the text of documents, long ones in parts, each with whether it ends its document."""
    pieces = pieces_of(text_files(texts))
    total, done = sum(piece.stop - piece.start for piece in pieces), 0

    def read(count: int) -> Any:
        nonlocal done
        done += count
        watch(task, done, total)

    for piece in pieces:
        for text, ended in parts(piece, read, LONGEST):
            if text.strip() or ended:
                yield text, ended
