"""LitGPT's tokenizer as the core sees it."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from litgpt.tokenizer import Tokenizer

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.tokenized.tokenizer import BoolArray, Encoded, FastBackend, flat, sentence_breaks

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
            expected = "one to end sentences with"
            raise KISError(Problem(f"{_WHERE} {tokenizer.model_name}", "no EOS token", expected, hint))
        if tokenizer.backend not in _BACKENDS:
            known = " or ".join(_BACKENDS)
            raise KISError(Problem(f"{_WHERE} {tokenizer.model_name}", f"the backend {tokenizer.backend!r}", known))
        self.eos: int = tokenizer.eos_id
        self.bos: int | None = tokenizer.bos_id
        self.adds_bos = bool(tokenizer.use_bos and tokenizer.bos_id is not None)
        self._backend = _BACKENDS[tokenizer.backend](tokenizer.processor)
        self.vocabulary: int = self._backend.vocabulary
        state = self._backend.state
        state = state.encode() if isinstance(state, str) else state
        self.fingerprint = hashlib.sha256(state + f"\n{self.eos}".encode()).hexdigest()[:16]

    @property
    def reserved(self) -> Sequence[str]:
        """Texts that become control tokens."""
        reserved: Sequence[str] = self._backend.reserved
        return reserved

    def normalized(self, text: str) -> str:
        """Return the text after the tokenizer's normalizer."""
        return str(self._backend.normalized(text))

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Encode texts without special tokens, truncation or padding."""
        encoded: list[Encoded] = self._backend.encode(texts)
        return encoded

    def encode_ids(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], IntArray]:
        """Encode texts to ids alone, quickly: on all cores."""
        encoded: tuple[npt.NDArray[np.int32], IntArray] = self._backend.encode_ids(texts)
        return encoded

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of some tokens."""
        return str(self._backend.decode(ids))

    def breaks(self) -> tuple[BoolArray, BoolArray]:
        """Return which tokens end and start a sentence; computed once."""
        return self._breaks

    @cached_property
    def _breaks(self) -> tuple[BoolArray, BoolArray]:
        return sentence_breaks(self._backend.texts())


class _SentencePiece:
    """A ``sentencepiece.SentencePieceProcessor``, with the methods of ``FastBackend``."""

    def __init__(self, processor: Any) -> None:
        self.state: bytes = processor.serialized_model_proto()
        self._processor = processor
        self.vocabulary: int = processor.vocab_size()

    @cached_property
    def reserved(self) -> tuple[str, ...]:
        """Symbols that users defined; the text of control symbols is split like any other."""
        found = []
        for token in range(self.vocabulary):
            piece: str = self._processor.id_to_piece(token)
            if piece[:1] + piece[-1:] in ("<>", "[]") and token in self._processor.encode(piece, out_type=int):
                found.append(piece)
        return tuple(found)

    def normalized(self, text: str) -> str:
        """Return the text after the model's normalization; sentencepiece before 0.2 does not show it."""
        if hasattr(self._processor, "normalize"):
            return str(self._processor.normalize(text))
        return unicodedata.normalize("NFKC", text)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        if hasattr(self._processor, "encode_as_offset_mapping"):
            found = [self._processor.encode_as_offset_mapping(text) for text in texts]
            return [Encoded(tuple(one["ids"]), *_spans(one["offsets"])) for one in found]
        # sentencepiece 0.2.0 and the like
        protos = [self._processor.encode(text, out_type="immutable_proto").pieces for text in texts]
        return [
            Encoded(tuple(piece.id for piece in pieces), *_spans([(piece.begin, piece.end) for piece in pieces]))
            for pieces in protos
        ]

    def encode_ids(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], IntArray]:
        return flat(self._processor.encode(list(texts), out_type=int, num_threads=-1))

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._processor.decode(list(ids)))

    def texts(self) -> list[str]:
        """Return each token's text as it reads in the middle of a document: (V,)."""
        return [self._text(token) for token in range(self.vocabulary)]

    def _text(self, token: int) -> str:
        piece: str = self._processor.id_to_piece(token)
        return chr(int(piece[1:-1], 16)) if self._processor.is_byte(token) else piece.replace("▁", " ")


def _spans(offsets: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ends and the starts of some offsets, as ``Encoded`` takes them."""
    return tuple(int(span[1]) for span in offsets), tuple(int(span[0]) for span in offsets)


_BACKENDS: dict[str, Any] = {"huggingface": FastBackend, "sentencepiece": _SentencePiece}
