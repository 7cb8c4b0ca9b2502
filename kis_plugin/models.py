"""Saved models: what a loader is told, what it gives, and which of them loads a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kis_plugin.contracts import ModelLoader
from kis_plugin.errors import KISError, Problem
from kis_plugin.plugins import registered
from kis_plugin.run import ModelView
from kis_plugin.sentences import TextTokenizer

__all__ = ["BLOCK", "LoadOptions", "LoadedModel", "block_of", "load_model"]

BLOCK = 1024
"""Tokens that a model sees at once unless something else is asked for."""


@dataclass(frozen=True)
class LoadOptions:
    """How a model is loaded.

    Attributes:
        tokenizer: A folder or a name; None for the model's own.
        device: ``cpu``, ``cuda``, ``cuda:1``; None for a GPU if there is one.
        dtype: Of the weights; ``auto`` as they were saved.
        block: Tokens that it sees at once, at most; None for what it takes, up to ``BLOCK``.
    """

    tokenizer: str | None = None
    device: str | None = None
    dtype: str = "auto"
    block: int | None = None


@dataclass(frozen=True)
class LoadedModel:
    """A saved model that is ready to be asked.

    Attributes:
        view: The model.
        tokenizer: Its tokenizer.
        block: Tokens that it sees at once.
        params: All parameters, tied ones once.
        params_non_embedding: Those that are neither embedding tables nor the output layer.
        bos: The token that the tokenizer itself begins a document with, None if it has none.
        about: What else a report should say, such as device, dtype and versions.
    """

    view: ModelView
    tokenizer: TextTokenizer
    block: int
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
        return _Beginning(self.tokenizer, self.bos)


class _Beginning:
    """A tokenizer with another token before each text."""

    def __init__(self, tokenizer: TextTokenizer, eos: int) -> None:
        self._tokenizer, self.eos = tokenizer, eos

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


def load_model(model: str, options: LoadOptions) -> LoadedModel:
    """Load a model by the first registered loader that claims it.

    Args:
        model: A folder, a file or a name.
        options: How.

    Raises:
        KISError: None does; or whatever is wrong with the model or the options.
    """
    loaders: dict[str, ModelLoader] = registered("model_loaders")
    for loader in loaders.values():
        if loader.claims(model):
            return loader.load(model, options)
    found = "a folder or file that no loader claims" if Path(model).exists() else "no such model"
    raise KISError(Problem(f"model {model}", found, f"a saved model; these are loaded: {', '.join(loaders)}"))


def block_of(model: str, asked: int | None, most: int | None) -> int:
    """Return how many tokens a model sees at once.

    Args:
        model: What errors call it.
        asked: The option ``block``.
        most: What the model takes; None if nothing says so.

    Raises:
        KISError: More is asked for than it takes.
    """
    if asked is not None and most is not None and asked > most:
        raise KISError(Problem("--block", f"{asked}", f"at most the {most} tokens that {model} takes"))
    return asked or min(most or BLOCK, BLOCK)
