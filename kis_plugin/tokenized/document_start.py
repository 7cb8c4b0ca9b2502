"""What a text begins with (``begin`` in kis.yaml): the tokenizer's BOS, or nothing but the EOS of the text before."""

from __future__ import annotations

from typing import Any

from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["BeginningWithBos", "first_token", "probe_tokenizer", "start_notes", "start_token"]


class BeginningWithBos:
    """A tokenizer whose probes have BOS before each sentence.

    Args:
        tokenizer: The run's own.
        bos: Its BOS.
    """

    def __init__(self, tokenizer: TextTokenizer, bos: int) -> None:
        self._tokenizer, self.begin, self.eos = tokenizer, bos, tokenizer.eos

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


def first_token(tokenizer: TextTokenizer) -> int:
    """Return the token that stands before the sentence of a probe: EOS, or BOS of a ``BeginningWithBos``."""
    token: int = getattr(tokenizer, "begin", tokenizer.eos)
    return token


def start_token(config: Config, tokenizer: TextTokenizer) -> int | None:
    """Return the token that each infused text begins with; None if it begins with its own first token.

    A tokenizer whose BOS is its EOS needs none: the text before ends with that token.

    Raises:
        KISError: ``begin: bos``, and the tokenizer has no BOS.
    """
    if config.begin == "eos":
        return None
    bos: int | None = getattr(tokenizer, "bos", None)
    if bos is None:
        hint = "Set tokenizer.bos_token to the token that the documents of your data begin with."
        raise KISError(Problem(f"{config.path or 'config'} begin", "bos, with a tokenizer that has none", "eos", hint))
    return None if bos == tokenizer.eos else bos


def probe_tokenizer(config: Config, tokenizer: TextTokenizer) -> TextTokenizer:
    """Return the tokenizer that probes of a run are made with.

    Raises:
        KISError: As ``start_token``.
    """
    bos = start_token(config, tokenizer)
    return tokenizer if bos is None else BeginningWithBos(tokenizer, bos)


def start_notes(config: Config, tokenizer: TextTokenizer) -> list[str]:
    """Return a line for a tokenizer that puts BOS before each document, where texts and probes begin without it."""
    bos: int | None = getattr(tokenizer, "bos", None)
    if config.begin != "eos" or bos in (None, tokenizer.eos) or not getattr(tokenizer, "adds_bos", False):
        return []
    assert bos is not None
    return [
        f"the tokenizer begins each document with {tokenizer.decode([bos])!r}, and texts and probes of this run do "
        "not; if the documents of the training data do, set begin: bos in kis.yaml"
    ]
