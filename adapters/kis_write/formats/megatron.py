"""Megatron-core's ``.bin`` and ``.idx``: windows of T + 1 tokens at stride T, in an order shuffled by the seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.storage.atomic_write import write_atomically
from kis_plugin.storage.npy_files import read_raw
from kis_write.base_tokens import token_type
from kis_write.megatron_files import index_bytes, read_index
from kis_write.protocols import HostSettings, Layout, Rows
from kis_write.raw_file import write_stretch

__all__ = ["Megatron"]

_LONGEST = 2**31 - 1  # tokens of a document: its length is an int32


@dataclass(frozen=True)
class _Documents:
    """How the rows are divided into documents.

    Attributes:
        rows: Of each document, in the order of the file.
        order: The documents in the order in which Megatron reads them.
    """

    rows: IntArray
    order: IntArray

    @property
    def last(self) -> int:
        """The document that is read last. It has one token more, the last target."""
        return int(self.order[-1])

    @property
    def end(self) -> int:
        """The row of the file at which that document ends."""
        return int(np.cumsum(self.rows)[self.last])


class Megatron:
    """One document of N T + 1 tokens: exactly N samples in one epoch, each row once.

    More tokens than a document can have become several documents of whole rows. Megatron shuffles the documents and
    then the samples by its seed (``megatron/core/datasets/gpt_dataset.py``). A sample runs on into the next document,
    so no row is torn, and only the document that is read last has the one token more.
    """

    name = "megatron"
    host = "Megatron-LM, NeMo"
    with_target = False

    def __init__(self, longest: int = _LONGEST) -> None:
        self._longest = longest

    def layout(self, host: HostSettings) -> Layout:
        """Return the places at which the host's shuffle finds the rows in the order of the plan."""
        documents, random = self._documents(host)
        if random is None:
            return Layout(None, "chance", "Megatron shuffles by its --seed, which --host-seed has to name.")
        starts = np.cumsum(documents.rows) - documents.rows  # rows of the file before each document
        read = np.concatenate([starts[one] + np.arange(documents.rows[one]) for one in documents.order.tolist()])
        shuffle = np.arange(host.rows, dtype=np.uint32)
        random.shuffle(shuffle)
        rows_of = np.empty(host.rows, dtype=np.int64)
        # Sample i is row shuffle[i] of the documents as they are read, which is row read[shuffle[i]] of the file.
        rows_of[read[shuffle]] = np.arange(host.rows)
        return Layout(rows_of, "exact")

    def write(self, folder: Path, rows: Rows, shard: int, first: int, host: HostSettings) -> None:
        """Write rows at their place in the ``.bin``."""
        end = self._documents(host)[0].end
        tokens = rows.astype(token_type(host.vocabulary))
        split = min(max(end - first, 0), len(tokens))
        for part, row, more in ((tokens[:split], first, 0), (tokens[split:], first + split, 1)):
            if len(part):
                write_stretch(folder / "kis.bin", part.ravel(), row * host.sequence_length + more)

    def finish(self, folder: Path, shards: int, host: HostSettings) -> Sequence[Path]:
        """Write the last target, an EOS, and the index."""
        documents, _ = self._documents(host)
        dtype = token_type(host.vocabulary)
        write_stretch(folder / "kis.bin", np.array([host.eos], dtype=dtype), documents.end * host.sequence_length)
        tokens = documents.rows * host.sequence_length
        tokens[documents.last] += 1
        write_atomically(folder / "kis.idx", index_bytes(tokens.tolist(), dtype))
        return [folder / "kis.bin", folder / "kis.idx"]

    def flags(self, folder: Path, host: HostSettings) -> Mapping[str, str]:
        """Return the options of ``pretrain_gpt.py``."""
        return {
            "--data-path": str(folder / "kis"),
            "--split": "100,0,0",
            "--seq-length": str(host.sequence_length),
            "--train-samples": str(host.rows),
            **({} if host.seed is None else {"--seed": str(host.seed)}),
        }

    def read(self, folder: Path, host: HostSettings) -> npt.NDArray[np.integer]:
        """Return the rows, (rows, T), without the last target."""
        index = read_index(folder / "kis.idx")
        tokens = read_raw(folder / "kis.bin", index.dtype).ravel()
        end = self._documents(host)[0].end * host.sequence_length
        if len(tokens) % host.sequence_length != 1 or end >= len(tokens):
            expected = f"rows of {host.sequence_length:,} tokens and one more"
            raise KISError(Problem(str(folder / "kis.bin"), f"{len(tokens):,} tokens", expected))
        rows = tokens[:end] if end + 1 == len(tokens) else np.delete(tokens, end)
        found: npt.NDArray[np.integer] = rows.reshape(-1, host.sequence_length)
        return found

    def _documents(self, host: HostSettings) -> tuple[_Documents, np.random.RandomState | None]:
        """Return the documents, and the state of Megatron's generator once it has shuffled them."""
        most = (self._longest - 1) // host.sequence_length
        count = -(-host.rows // most)
        if host.seed is None:
            if count > 1:
                found = f"{host.rows:,} rows, more than the {most:,} of one document"
                hint = "Megatron shuffles documents by its --seed: name it with --host-seed."
                raise KISError(Problem("--rows", found, "a known order of documents", hint))
            return _Documents(np.array([host.rows]), np.array([0])), None
        random = np.random.RandomState(host.seed)
        order = np.arange(count, dtype=np.int32)
        random.shuffle(order)
        rows = np.full(count, most, dtype=np.int64)
        rows[order[-1]] = host.rows - (count - 1) * most
        return _Documents(rows, order.astype(np.int64)), random
