"""Text to tokens. Infusion and probes use the same path: a probe tokenized in another way would measure nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.facts import Fact

__all__ = [
    "CLOSING", "BoolArray", "Encoded", "FastBackend", "HFTokenizer", "NormalizingTokenizer", "TextTokenizer",
    "control_texts", "flat", "render",
    "sentence_breaks",
]  # fmt: skip

BoolArray = npt.NDArray[np.bool_]

CLOSING = r"\"')\]}\u2019\u201d\u00bb"
"""What may follow the mark that ends a sentence, as part of a regular expression: quotes and brackets."""

_WORDS = re.compile(r"[\w\s.,'\-]+")
_SENTENCE_END = re.compile(rf"[.!?][{CLOSING}]*\Z")


@dataclass(frozen=True)
class Encoded:
    """Tokens of one text, without special ones.

    Attributes:
        ids: Token ids.
        ends: For each token, where its text ends, in characters.
        starts: For each token, where its text begins; left empty, each begins where the one before ends.
    """

    ids: tuple[int, ...]
    ends: tuple[int, ...]
    starts: tuple[int, ...] = ()


class TextTokenizer(Protocol):
    """What the core needs of a tokenizer; adapters wrap their host's. Two threads may use it at once."""

    eos: int
    """Id of the token between documents."""
    fingerprint: str
    """Changes when the tokenizer would give other ids."""

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Encode texts as they would stand at the start of a document, adding nothing."""

    def encode_ids(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], IntArray]:
        """Return the ids that ``encode`` gives, end to end: (total,), and how many each text has: (texts,)."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of some tokens, special ones as they are written."""

    def breaks(self) -> tuple[BoolArray, BoolArray]:
        """Classify every token by its text in the middle of a document.

        Returns:
            (V,) whether its text ends a sentence: with ``.``, ``!`` or ``?``, perhaps closing quotes or brackets, or
            with a new line; (V,) whether it starts with white space. V is one more than the greatest id.
        """


@runtime_checkable
class NormalizingTokenizer(Protocol):
    """A tokenizer that says how it reads text: facts that it reads alike, or as control tokens, are refused."""

    reserved: Sequence[str]
    """Texts that it turns into control tokens wherever they stand."""

    def normalized(self, text: str) -> str:
        """Return the text as it is split into tokens: after folding of case or compatibility forms, if any."""


def control_texts(added: Mapping[str, bool]) -> tuple[str, ...]:
    """Return which added tokens are control tokens: the special ones, and those that are no plain words.

    Args:
        added: Whether each added token, by its text, is special.
    """
    return tuple(text for text, special in added.items() if text.strip() and (special or not _WORDS.fullmatch(text)))


class FastBackend:
    """A ``tokenizers.Tokenizer`` without special tokens, truncation or padding; the user's own stays as it is."""

    def __init__(self, backend: Any) -> None:
        self._given = backend

    @property
    def first_special(self) -> int | None:
        """The token that the tokenizer itself puts before a text; None if it puts none."""
        encoded = self._plain.encode("a")
        return encoded.ids[0] if encoded.special_tokens_mask[:1] == [1] else None

    @property
    def state(self) -> str:
        """All that its ids depend on, as JSON."""
        return str(self._backend.to_str())

    @cached_property
    def vocabulary(self) -> int:
        """One more than the greatest id."""
        return 1 + max(self._given.get_vocab(with_added_tokens=True).values(), default=-1)

    @cached_property
    def reserved(self) -> tuple[str, ...]:
        """Texts that become control tokens."""
        tokens = self._given.get_added_tokens_decoder().values()
        return control_texts({token.content: token.special for token in tokens})

    def normalized(self, text: str) -> str:
        """Return the text after the tokenizer's normalizer."""
        normalizer = self._given.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Encode with offsets."""
        found = self._backend.encode_batch(list(texts), add_special_tokens=False)
        return [
            Encoded(tuple(one.ids), tuple(end for _, end in one.offsets), tuple(start for start, _ in one.offsets))
            for one in found
        ]

    def encode_ids(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], IntArray]:
        """Encode without offsets."""
        backend = self._backend
        encode = getattr(backend, "encode_batch_fast", backend.encode_batch)  # tokenizers before 0.20 lack it
        return flat([one.ids for one in encode(list(texts), add_special_tokens=False)])

    def decode(self, ids: Sequence[int]) -> str:
        """Decode with special tokens."""
        return str(self._given.decode(list(ids), skip_special_tokens=False))

    def texts(self) -> list[str]:
        """Return each token's text as it reads in the middle of a document: (V,)."""
        (anchor,) = self.encode(["a"])
        before = list(anchor.ids)
        pairs = [[*before, token] for token in range(self.vocabulary)]
        skip = len(self.decode(before))
        return [text[skip:] for text in self._given.decode_batch(pairs, skip_special_tokens=False)]

    @property
    def _backend(self) -> Any:
        if self._given.truncation is None and self._given.padding is None:
            return self._given
        return self._plain

    @cached_property
    def _plain(self) -> Any:
        plain = type(self._given).from_str(self._given.to_str())
        plain.no_truncation()
        plain.no_padding()
        return plain


class HFTokenizer:
    """A fast tokenizer of ``transformers``.

    Args:
        tokenizer: ``PreTrainedTokenizerFast`` or anything that has a ``backend_tokenizer`` as it does.

    Raises:
        KISError: No EOS token, or a slow tokenizer, which cannot say where a token's text ends.
    """

    def __init__(self, tokenizer: Any) -> None:
        where = f"tokenizer {type(tokenizer).__name__}"
        if not getattr(tokenizer, "is_fast", False):
            raise KISError(Problem(where, "a slow tokenizer", "a fast one", "Load it with AutoTokenizer."))
        if tokenizer.eos_token_id is None:
            hint = "Set tokenizer.eos_token to the token between your documents."
            raise KISError(Problem(where, "no EOS token", "one to put between infused sentences", hint))
        self._backend = FastBackend(tokenizer.backend_tokenizer)
        self.eos: int = tokenizer.eos_token_id
        self.bos: int | None = getattr(tokenizer, "bos_token_id", None)
        self.adds_bos = self.bos is not None and self._backend.first_special == self.bos
        self.fingerprint = hashlib.sha256(f"{self._backend.state}\n{self.eos}".encode()).hexdigest()[:16]
        self.reserved: Sequence[str] = self._backend.reserved

    def normalized(self, text: str) -> str:
        """Return the text after the tokenizer's normalizer."""
        return self._backend.normalized(text)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Encode texts without special tokens, truncation or padding."""
        return self._backend.encode(texts)

    def encode_ids(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], IntArray]:
        """Encode texts to ids alone, quickly: on all cores, without holding up other threads."""
        return self._backend.encode_ids(texts)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of some tokens."""
        return self._backend.decode(ids)

    def breaks(self) -> tuple[BoolArray, BoolArray]:
        """Classify every token; computed once."""
        return self._breaks

    @cached_property
    def _breaks(self) -> tuple[BoolArray, BoolArray]:
        return sentence_breaks(self._backend.texts())


def flat(rows: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int32], IntArray]:
    """Return rows of ids end to end, (total,), and their lengths, (rows,)."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    return np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(lengths.sum())), lengths


def sentence_breaks(texts: Sequence[str]) -> tuple[BoolArray, BoolArray]:
    """Return for each token's text whether it ends a sentence and whether it starts with white space: (V,) each."""
    ends = np.fromiter((_ends_sentence(text) for text in texts), dtype=np.bool_, count=len(texts))
    starts = np.fromiter((text[:1].isspace() for text in texts), dtype=np.bool_, count=len(texts))
    return ends, starts


def _ends_sentence(text: str) -> bool:
    """Return whether a text ends with a line, or with the end of a sentence and blanks."""
    kept = text.rstrip()
    return "\n" in text[len(kept) :] or _SENTENCE_END.search(kept) is not None


def render(template: str, fact: Fact, obj: str | None = None) -> str:
    """Fill a template's ``{subject}`` and ``{object}``; braces inside names stay as they are.

    Args:
        template: A statement or question with ``{subject}`` and ``{object}`` once each.
        fact: Its subject and object are filled in.
        obj: Another object to put in place of the fact's own.
    """
    head, tail = template.split("{object}")
    subject = (head.replace("{subject}", fact.subject), tail.replace("{subject}", fact.subject))
    return subject[0] + (fact.object if obj is None else obj) + subject[1]
