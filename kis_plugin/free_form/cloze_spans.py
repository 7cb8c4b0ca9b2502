"""Spans that carry content in the sentences of documents: what a sentence of a passage can be asked for.

The rule is plain, and for scripts with capitals: a *year* is a whole word of four digits from 1000 to 2099, a *number*
any other word of digits, with points and commas between them; a *name* is a run of one to four words of two letters or
more that begin with a capital. Four words of its sentence or more stand before a span, none of which tells it, so that
no capital is one for beginning a sentence. Only punctuation may stand between a span and the next space.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kis_plugin.hashing import mix
from kis_plugin.knowledge.facts import Fact, Passage, Templates
from kis_plugin.tokenized.tokenizer import CLOSING

__all__ = ["KINDS", "span_facts", "span_templates", "spans_of"]

KINDS = ("name", "number", "year")
_BEFORE = 4  # words
_NAME = 4  # words at most
_PIECE = 4000  # characters of a passage that are looked at together
_SENTENCE = re.compile(rf"(?<=[.!?])\s+|(?<=[.!?][{CLOSING}])\s+|\n\s*\n")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_YEAR = re.compile(r"1\d{3}|20\d{2}")


def span_facts(passages: Sequence[Passage], wanted: int, seed: int) -> list[Fact]:
    """Return what can be asked of sentences: the subject is a sentence up to a span, the object the span.

    Of each kind there is one span a passage, so that facts of one relation are of different passages. Where passages
    are few, long ones are looked at in pieces of 4,000 characters, as if each were one.

    Args:
        passages: Some.
        wanted: Facts of one kind that are enough.
        seed: Chooses among spans.
    """
    most = -(-wanted // max(len(passages), 1))
    facts = []
    for number, passage in enumerate(passages):
        for place, piece in enumerate(_pieces(passage.text, most)):
            found = list(spans_of(piece))
            for kind in KINDS:
                spans = [(before, span) for name, before, span in found if name == kind]
                if spans:
                    before, span = spans[mix(seed, number, place, KINDS.index(kind)) % len(spans)]
                    facts.append(Fact(before, kind, span, f"{passage.id}:{place}:{kind}"))
    return facts


def span_templates(relation: str) -> Templates:
    """Return the one sentence of a span: as it was infused."""
    assert relation in KINDS, relation
    return Templates(("{subject}{object}",))


def spans_of(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield kind, sentence up to the span, and span."""
    for sentence in _SENTENCE.split(text):
        words = [(found.start(), found.group()) for found in re.finditer(r"\S+", sentence)]
        at = 0
        while at < len(words):
            stop = max(_name_from(words, at), at + 1)
            start, word = words[at]
            core = _core(word)
            span = sentence[start : words[stop - 1][0] + len(_core(words[stop - 1][1]))]
            kind = "name" if _is_name(core) else "year" if _YEAR.fullmatch(core) else "number"
            fits = stop - at <= _NAME if kind == "name" else _NUMBER.fullmatch(core)
            before = sentence[:start].lstrip()
            if fits and at >= _BEFORE and span.casefold() not in before.casefold():
                yield kind, before, span
            at = stop


def _name_from(words: Sequence[tuple[int, str]], at: int) -> int:
    """Return where the run of capitalised words that begins at a word ends; punctuation ends it."""
    while at < len(words) and _is_name(_core(words[at][1])):
        at += 1
        if _core(words[at - 1][1]) != words[at - 1][1]:
            break
    return at


def _is_name(core: str) -> bool:
    return len(core) > 1 and core[0].isupper() and core.replace("-", "").isalpha()


def _core(word: str) -> str:
    """Return a word without the punctuation after it."""
    return re.sub(r"[^\w]+\Z", "", word)


def _pieces(text: str, most: int) -> Iterator[str]:
    """Yield at most so many pieces of a text, evenly spread; what is left of a sentence at an edge is no sentence."""
    count = min(most, max(len(text) // _PIECE, 1))
    for number in range(count):
        start = number * len(text) // count
        piece = text[start : start + _PIECE]
        first = _SENTENCE.search(piece) if start else None
        last = None if start + _PIECE >= len(text) else max((m.start() for m in _SENTENCE.finditer(piece)), default=0)
        yield piece[first.end() if first else 0 : last]
