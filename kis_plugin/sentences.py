"""Text to tokens, on one path for infusion and for probes: a probe that is tokenized otherwise measures nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge import Fact

__all__ = ["Encoded", "HFTokenizer", "TextTokenizer", "render"]


@dataclass(frozen=True)
class Encoded:
    """Tokens of one text, without special ones.

    Attributes:
        ids: Token ids.
        ends: For each token, where its text ends, in characters.
    """

    ids: tuple[int, ...]
    ends: tuple[int, ...]


class TextTokenizer(Protocol):
    """What the core needs of a tokenizer; adapters wrap their host's."""

    eos: int
    """Id of the token that parts documents."""
    fingerprint: str
    """Changes when the tokenizer would give other ids."""

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Encode texts as they would stand at the start of a document, adding nothing."""


class HFTokenizer:
    """A fast tokenizer of ``transformers``.

    Args:
        tokenizer: ``PreTrainedTokenizerFast`` or anything that returns offsets as it does.

    Raises:
        KISError: No EOS token, or a slow tokenizer, which cannot say where a token's text ends.
    """

    def __init__(self, tokenizer: Any) -> None:
        where = f"tokenizer {type(tokenizer).__name__}"
        if not getattr(tokenizer, "is_fast", False):
            raise KISError(Problem(where, "a slow tokenizer", "a fast one", "Load it with AutoTokenizer."))
        if tokenizer.eos_token_id is None:
            hint = "Set tokenizer.eos_token to the token that parts your documents."
            raise KISError(Problem(where, "no EOS token", "one to part infused sentences with", hint))
        self._tokenizer = tokenizer
        self.eos: int = tokenizer.eos_token_id
        state = f"{tokenizer.backend_tokenizer.to_str()}\n{self.eos}"
        self.fingerprint = hashlib.sha256(state.encode()).hexdigest()[:16]

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Encode texts without special tokens, truncation or padding."""
        if not texts:
            return []
        batch = self._tokenizer(
            list(texts),
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            truncation=False,
            padding=False,
            verbose=False,
        )
        return [
            Encoded(tuple(ids), tuple(end for _, end in offsets))
            for ids, offsets in zip(batch["input_ids"], batch["offset_mapping"], strict=True)
        ]


def render(template: str, fact: Fact, obj: str | None = None) -> str:
    """Fill a template's ``{subject}`` and ``{object}``; braces inside names stay as they are.

    Args:
        template: A statement or question with ``{subject}`` and ``{object}`` once each.
        fact: Whose subject (and object) is told.
        obj: Another object to put in place of the fact's own.
    """
    head, tail = template.split("{object}")
    subject = (head.replace("{subject}", fact.subject), tail.replace("{subject}", fact.subject))
    return subject[0] + (fact.object if obj is None else obj) + subject[1]
