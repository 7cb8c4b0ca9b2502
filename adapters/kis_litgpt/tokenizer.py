"""LitGPT's tokenizer as the core sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from litgpt.tokenizer import Tokenizer

from kis_plugin.errors import KISError, Problem
from kis_plugin.sentences import Encoded

__all__ = ["LitTokenizer"]

_WHERE = "tokenizer"


class LitTokenizer:
    """``litgpt.Tokenizer`` with offsets, for both of its backends.

    Args:
        tokenizer: What LitGPT made of ``--tokenizer_dir``; None without that option.

    Raises:
        KISError: No tokenizer, no EOS token, or a backend that KIS does not know.
    """

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        if tokenizer is None:
            hint = "Give --tokenizer_dir: facts are tokenized while the run starts."
            raise KISError(Problem("tokenizer_dir", "none", "the folder of the run's tokenizer", hint))
        if tokenizer.eos_id is None:
            hint = "Name it in tokenizer_config.json or generation_config.json."
            expected = "one to part sentences with"
            raise KISError(Problem(f"{_WHERE} {tokenizer.model_name}", "no EOS token", expected, hint))
        if tokenizer.backend not in _BACKENDS:
            known = " or ".join(_BACKENDS)
            raise KISError(Problem(f"{_WHERE} {tokenizer.model_name}", f"the backend {tokenizer.backend!r}", known))
        self.eos: int = tokenizer.eos_id
        self._backend = _BACKENDS[tokenizer.backend](tokenizer.processor)
        self.vocabulary: int = self._backend.vocabulary
        self.fingerprint = hashlib.sha256(self._backend.state + f"\n{self.eos}".encode()).hexdigest()[:16]

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Encode texts without special tokens, truncation or padding."""
        encoded: list[Encoded] = self._backend.encode(list(texts))
        return encoded


class _HuggingFace:
    """A ``tokenizers.Tokenizer``."""

    def __init__(self, processor: Any) -> None:
        self.state: bytes = processor.to_str().encode()
        # tokenizer.json may ask for truncation or padding; a copy of its own keeps LitGPT's as it is.
        self._processor = type(processor).from_str(processor.to_str())
        self._processor.no_truncation()
        self._processor.no_padding()
        self.vocabulary: int = max(self._processor.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, texts: list[str]) -> list[Encoded]:
        encodings = self._processor.encode_batch(texts, add_special_tokens=False)
        return [Encoded(tuple(one.ids), tuple(end for _, end in one.offsets)) for one in encodings]


class _SentencePiece:
    """A ``sentencepiece.SentencePieceProcessor``."""

    def __init__(self, processor: Any) -> None:
        self.state: bytes = processor.serialized_model_proto()
        self._processor = processor
        self.vocabulary: int = processor.vocab_size()

    def encode(self, texts: list[str]) -> list[Encoded]:
        if hasattr(self._processor, "encode_as_offset_mapping"):
            found = [self._processor.encode_as_offset_mapping(text) for text in texts]
            return [Encoded(tuple(one["ids"]), tuple(end for _, end in one["offsets"])) for one in found]
        # sentencepiece 0.2.0 and the like
        protos = [self._processor.encode(text, out_type="immutable_proto") for text in texts]
        return [
            Encoded(tuple(piece.id for piece in proto.pieces), tuple(piece.end for piece in proto.pieces))
            for proto in protos
        ]


_BACKENDS: dict[str, Any] = {"huggingface": _HuggingFace, "sentencepiece": _SentencePiece}
