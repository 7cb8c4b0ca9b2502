"""What a loaded model is: its view, its tokenizer, its sequence length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.model_view import ModelView
from kis_plugin.tokenized.document_start import BeginningWithBos
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["BLOCK", "LoadOptions", "LoadedModel", "sequence_length_of"]

BLOCK = 1024
"""Tokens a row that a model gets by default."""


@dataclass(frozen=True)
class LoadOptions:
    """How a model is loaded.

    Attributes:
        tokenizer: A folder or a name; None for the model's own.
        device: ``cpu``, ``cuda``, ``cuda:1``; None for a GPU if there is one.
        dtype: Of the weights; ``auto`` as they were saved.
        sequence_length: Tokens a row, at most; None for what the model takes, up to ``BLOCK``.
    """

    tokenizer: str | None = None
    device: str | None = None
    dtype: str = "auto"
    sequence_length: int | None = None


@dataclass(frozen=True)
class LoadedModel:
    """A saved model that is ready to be probed.

    Attributes:
        view: The model.
        tokenizer: Its tokenizer.
        sequence_length: Tokens a row, at most.
        params: All parameters, tied ones once.
        params_non_embedding: Those that are neither embedding tables nor the output layer.
        bos: The token that the tokenizer itself begins a document with, None if it has none.
        about: What else a report should state, such as device, dtype and versions.
    """

    view: ModelView
    tokenizer: TextTokenizer
    sequence_length: int
    params: int
    params_non_embedding: int
    bos: int | None
    about: Mapping[str, str]

    def beginning_with_bos(self) -> TextTokenizer:
        """Return the tokenizer, its BOS in the place of the token that stands before each sentence.

        Raises:
            KISError: It has none.
        """
        if self.bos is None:
            raise KISError(Problem("--begin", "bos, with a tokenizer that has none", "eos"))
        return BeginningWithBos(self.tokenizer, self.bos)


def sequence_length_of(model: str, requested: int | None, most: int | None) -> int:
    """Return how many tokens a row may have.

    Args:
        model: What errors call it.
        requested: The option ``--block``; None if it is not given.
        most: What the model takes; None if nothing says so.

    Raises:
        KISError: More is requested than the model takes.
    """
    if requested is not None and most is not None and requested > most:
        raise KISError(Problem("--block", f"{requested}", f"at most the {most} tokens that {model} takes"))
    return requested or min(most or BLOCK, BLOCK)
