"""Whether two models have one tokenizer: only then can their losses per token be compared."""

from __future__ import annotations

from typing import Any

from kis_plugin.tokenized.tokenizer import HFTokenizer

__all__ = ["difference"]

_SAMPLE = "The quick brown fox: 東京, naïve, 3.14!\n"


def difference(one: Any, other: Any) -> str:
    """Return how two tokenizers of ``transformers`` differ; empty if they give the same ids.

    Raises:
        KISError: A tokenizer without ``tokenizer.json``.
    """
    if HFTokenizer(one).fingerprint == HFTokenizer(other).fingerprint:
        return ""
    if len(one) != len(other):
        return f"{len(one):,} tokens and {len(other):,} tokens"
    theirs = other.get_vocab()
    for token, number in sorted(one.get_vocab().items(), key=lambda item: item[1]):
        if theirs.get(token) != number:
            return f"token {number} is {token!r} in the one, {other.convert_ids_to_tokens(number)!r} in the other"
    counts = [len(each(_SAMPLE, add_special_tokens=False)["input_ids"]) for each in (one, other)]
    return f"the same tokens by other rules: {_SAMPLE.strip()!r} is {counts[0]} and {counts[1]} of them"
