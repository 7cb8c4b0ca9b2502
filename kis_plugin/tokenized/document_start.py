"""What a text begins with (``begin`` in kis.yaml): the tokenizer's BOS, or nothing but the EOS of the text before."""

from __future__ import annotations

from typing import Any

from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = [
    "BeginningWithBos",
    "decided_start",
    "decision_notes",
    "first_token",
    "probe_tokenizer",
    "start_notes",
    "start_token",
]


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


def decided_start(config: Config, tokenizer: TextTokenizer, in_base: bool | None = None) -> tuple[str, str]:
    """Return what texts begin with, ``eos`` or ``bos``, and what that was decided by; ``auto`` looks at the data.

    Args:
        config: Says it, or leaves it to this.
        tokenizer: The run's.
        in_base: Whether its BOS stands in base rows; None where no rows were looked at.
    """
    if config.begin != "auto":
        return config.begin, "kis.yaml"
    bos: int | None = getattr(tokenizer, "bos", None)
    if in_base is None or bos in (None, tokenizer.eos):
        return ("bos" if _adds_bos(tokenizer) else "eos"), "tokenizer"
    return ("bos" if in_base else "eos"), "base rows"


def decision_notes(config: Config, tokenizer: TextTokenizer, begin: str, by: str) -> list[str]:
    """Return a line about what ``begin: auto`` became, and what to write down where the tokenizer does otherwise."""
    if config.begin != "auto":
        return []
    line = f"begin: auto is {begin}, by the {by}"
    if (begin == "bos") != _adds_bos(tokenizer) and getattr(tokenizer, "bos", None) not in (None, tokenizer.eos):
        line += f"; the tokenizer does otherwise: set begin: {begin} in kis.yaml, so that kis probe does as this run"
    return [line]


def start_token(config: Config, tokenizer: TextTokenizer) -> int | None:
    """Return the token that each infused text begins with; None if it begins with its own first token.

    A tokenizer whose BOS is its EOS needs none: the text before ends with that token. ``auto`` that no run has decided
    goes by the tokenizer.

    Raises:
        KISError: ``begin: bos``, and the tokenizer has no BOS.
    """
    if decided_start(config, tokenizer)[0] == "eos":
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
    if config.begin != "eos" or not _adds_bos(tokenizer):
        return []
    assert bos is not None
    return [
        f"the tokenizer begins each document with {tokenizer.decode([bos])!r}, and texts and probes of this run do "
        "not; if the documents of the training data do, set begin: bos in kis.yaml"
    ]


def _adds_bos(tokenizer: TextTokenizer) -> bool:
    """Return whether the tokenizer puts a BOS, one that is not its EOS, before a text."""
    bos: int | None = getattr(tokenizer, "bos", None)
    return bos not in (None, tokenizer.eos) and bool(getattr(tokenizer, "adds_bos", False))
