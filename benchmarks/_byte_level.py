"""A tokenizer like GPT-2's, trained on the spot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["trained"]


def trained(texts: Iterable[str], vocabulary: int, eos: str) -> Any:
    """Return a byte-level BPE of ``tokenizers``, ``eos`` its one special token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[eos],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
