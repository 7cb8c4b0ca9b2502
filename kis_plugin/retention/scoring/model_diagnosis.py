"""Says in words why a model could not be evaluated, where it would otherwise fail with a traceback of its own."""

from __future__ import annotations

import torch

from kis_plugin.errors import KISError, Problem
from kis_plugin.retention.scoring.forward_passes import is_out_of_memory
from kis_plugin.run.model_view import ModelView
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["FAILURES", "diagnosed", "try_model"]

FAILURES = (TypeError, ValueError, IndexError, KeyError, AttributeError, RuntimeError, StopIteration)
"""What models raise that are called in a way they were not made for."""


def diagnosed(error: Exception, model: ModelView, tokenizer: TextTokenizer, longest: int) -> Exception:
    """Return the error to raise for one that a forward pass raised: the least that fails, in words.

    Ever longer rows of token 0 are tried, which every model has. What fails none of them is returned as it came, and so
    is a lack of memory.

    Args:
        error: The error.
        model: In evaluation mode.
        tokenizer: The run's own.
        longest: Tokens of the longest row.
    """
    if isinstance(error, KISError) or (isinstance(error, RuntimeError) and is_out_of_memory(error)):
        return error
    return _lack(model, tokenizer, longest) or error


def try_model(model: ModelView, tokenizer: TextTokenizer, longest: int) -> None:
    """Try the least that an evaluation needs of a model, in two forward passes of one row. Every rank calls it.

    Args:
        model: Put into evaluation mode here, and left as it was.
        tokenizer: The run's own.
        longest: Tokens of the longest row that an evaluation will show it.

    Raises:
        KISError: The model cannot be called with token ids alone, gives no logits, has fewer tokens than the tokenizer,
            or fewer positions than ``longest``.
    """
    with model.evaluating():
        lack = _lack(model, tokenizer, longest)
    if lack is not None:
        raise lack


def _lack(model: ModelView, tokenizer: TextTokenizer, longest: int) -> KISError | None:
    """Return what a model lacks, in evaluation mode; None if nothing shows."""
    logits = _tried(model, 1)
    if isinstance(logits, Exception):
        hint = "An encoder-decoder or a masked language model gives none: KIS needs a causal one."
        expected = "next-token logits (rows, tokens, V) from token ids (rows, tokens) alone"
        return KISError(Problem("model", _in_a_line(logits), expected, hint))
    if logits.ndim != 3 or tuple(logits.shape[:2]) != (1, 1):
        found = f"logits of shape {tuple(logits.shape)} for token ids of shape (1, 1)"
        return KISError(Problem("model", found, "logits of shape (1, 1, V)"))
    tokens, vocabulary = len(tokenizer.breaks()[0]), int(logits.shape[2])
    if tokens > vocabulary:
        hint = "Resize the model's embeddings, or use the tokenizer that it was made with."
        found = f"{tokens:,} token ids in the tokenizer"
        return KISError(Problem("tokenizer", found, f"at most the {vocabulary:,} of the model", hint))
    long = _tried(model, longest)
    if isinstance(long, Exception):
        hint = "Use shorter rows in the run, or for kis probe a smaller --block; longer probes are then left out."
        found = f"a model that takes no rows of {longest:,} tokens ({_in_a_line(long)})"
        return KISError(Problem("model", found, "as many positions as the longest probe has tokens", hint))
    return None


def _tried(model: ModelView, tokens: int) -> torch.Tensor | Exception:
    try:
        with torch.no_grad():
            return model.logits(torch.zeros((1, tokens), dtype=torch.int64))  # (1, T, V)
    except FAILURES as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        return error


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
