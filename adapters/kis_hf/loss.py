"""The loss of texts under a causal language model of ``transformers``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kis_hf.saved import load_causal
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.run.saved_model import LoadOptions

__all__ = ["Losses", "Reader"]

_POSITIONS = 1024  # positions whose logits, (positions, V), are taken to float32 at a time


@dataclass(frozen=True)
class Losses:
    """The losses of texts under one model.

    Attributes:
        nats: (texts,) negative log-likelihood of each whole text.
        tokens: (texts,) tokens of each.
    """

    nats: npt.NDArray[np.float64]
    tokens: IntArray


@dataclass(frozen=True)
class Reader:
    """A model to load, and how texts are given to it.

    Attributes:
        name: A folder or a name on the Hub.
        tokenizer: The name of its tokenizer; None for its own.
        device: ``cpu``, ``cuda`` and so on; None for a GPU if there is one.
        dtype: Of the weights; ``auto`` as they were saved.
        sequence_length: Tokens of a row, at most; None for what it takes, up to 1024.
        batch_tokens: Rows times padded length of one forward pass, at most.
    """

    name: str
    tokenizer: str | None = None
    device: str | None = None
    dtype: str = "auto"
    sequence_length: int | None = None
    batch_tokens: int = 8192

    def load(self) -> LoadedReader:
        """Load model and tokenizer.

        Raises:
            KISError: There is no such model or tokenizer, or no such device or dtype.
        """
        options = LoadOptions(self.tokenizer, self.device, self.dtype, self.sequence_length)
        model, tokenizer, sequence_length = load_causal(self.name, options)
        return LoadedReader(model, tokenizer, sequence_length, self.batch_tokens, self.name)


class LoadedReader:
    """A model in memory.

    Args:
        model: A causal language model in evaluation mode.
        tokenizer: Its tokenizer.
        sequence_length: Tokens of a row, the one that begins a document included.
        batch_tokens: Rows times padded length of one forward pass, at most; a single row may be longer.
        name: What errors call it.
    """

    def __init__(self, model: Any, tokenizer: Any, sequence_length: int, batch_tokens: int, name: str) -> None:
        self._model, self.tokenizer = model, tokenizer
        self.sequence_length, self._batch_tokens = sequence_length, batch_tokens
        # What the tokenizer itself puts before a document, else the EOS of the document before.
        begins = [*tokenizer("")["input_ids"][:1], tokenizer.eos_token_id]
        if begins[0] is None:
            raise KISError(Problem(f"tokenizer of {name}", "no token that begins or ends a document", "an EOS token"))
        self._begin = int(begins[0])

    def losses(self, texts: Sequence[str]) -> Losses:
        """Return the loss of each text; a text longer than ``sequence_length`` is read in independent pieces."""
        encoded = self.tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)
        rows: list[Sequence[int]] = []
        owner: list[int] = []
        step = self.sequence_length - 1
        for number, ids in enumerate(encoded["input_ids"]):
            pieces = [ids[first : first + step] for first in range(0, len(ids), step)]
            rows += pieces
            owner += [number] * len(pieces)
        nats = np.zeros(len(texts))
        for batch in self._batches([len(row) for row in rows]):
            read, _ = self._read([[self._begin, *rows[place]] for place in batch])
            np.add.at(nats, [owner[place] for place in batch], read)
        tokens = np.array([len(ids) for ids in encoded["input_ids"]], dtype=np.int64)
        return Losses(nats, tokens)

    def mean_losses(self, pieces: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
        """Return the mean loss of each piece in nats per predicted token: (pieces,).

        The first token of a piece is predicted from nothing, and the one after an EOS from another document: neither
        is scored, as in MiniPLM's code (its padding token is EOS, and what follows padding has no loss).
        """
        means = np.zeros(len(pieces))
        for batch in self._batches([len(piece) for piece in pieces]):
            sums, counts = self._read([pieces[place] for place in batch], self.tokenizer.eos_token_id)
            means[batch] = sums / np.maximum(counts, 1)
        return means

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Yield places of rows, longest first, so that rows of similar length share a forward pass."""
        order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
        start = 0
        while start < len(order):
            count = max(self._batch_tokens // (lengths[order[start]] + 1), 1)
            yield order[start : start + count]
            start += count

    @torch.no_grad()
    def _read(
        self, rows: Sequence[Sequence[int]], unscored_after: int | None = None
    ) -> tuple[npt.NDArray[np.float64], IntArray]:
        """Return the negative log-likelihood of each row given its first token, and how many tokens that is of.

        Args:
            rows: Token ids, one or more each.
            unscored_after: What follows this token is not scored.
        """
        longest = max(max(len(row) for row in rows), 2)
        ids = torch.full((len(rows), longest), self._begin)  # (B, T + 1); padding is not scored
        scored = torch.zeros((len(rows), longest - 1), dtype=torch.bool)  # (B, T)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.as_tensor(row)
            scored[number, : len(row) - 1] = True
        if unscored_after is not None:
            scored &= ids[:, :-1] != unscored_after
        device = self._model.device
        logits = self._model(input_ids=ids[:, :-1].to(device), use_cache=False).logits  # (B, T, V)
        owner, position = (index.to(device) for index in torch.nonzero(scored, as_tuple=True))
        targets = ids[:, 1:].to(device)[owner, position]  # (scored,)
        sums = np.zeros(len(rows))
        for at in range(0, len(targets), _POSITIONS):
            part = slice(at, at + _POSITIONS)
            some = logits[owner[part], position[part]].float()  # (positions, V)
            losses = some.logsumexp(dim=1) - some.gather(1, targets[part, None])[:, 0]
            np.add.at(sums, owner[part].cpu().numpy(), losses.double().cpu().numpy())
        return sums, scored.sum(dim=1).numpy().astype(np.int64)
