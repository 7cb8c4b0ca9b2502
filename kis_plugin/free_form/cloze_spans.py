"""Names, numbers and years in the sentences of documents, which a cloze question can leave out.

The rules are simple, and meant for scripts with capital letters: a *year* is a whole word of four digits from 1000 to
2099, a *number* any other word of digits, with points and commas between them; a *name* is a run of one to four words
of two letters or more that begin with a capital. At least four words of the sentence stand before a span, so that its
capital is not that of the sentence, and none of them contains it. Only punctuation may stand between a span and the
next space.
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
_PIECE = 4000  # characters of a passage that are searched together
_SENTENCE = re.compile(rf"(?<=[.!?])\s+|(?<=[.!?][{CLOSING}])\s+|\n\s*\n")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_YEAR = re.compile(r"1\d{3}|20\d{2}")


def span_facts(passages: Sequence[Passage], wanted: int, seed: int) -> list[Fact]:
    """Return one fact for each span: the subject is its sentence up to the span, the object the span.

    Each passage gives one span of each kind, so that facts of one relation come from different passages. Where passages
    are few, each piece of 4,000 characters of a long one counts as a passage.

    Args:
        passages: Some.
        wanted: How many facts of one kind are enough.
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
    """Return the one template of a span: the sentence as it was infused."""
    assert relation in KINDS, relation
    return Templates(("{subject}{object}",))


def spans_of(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the kind, the sentence up to the span, and the span."""
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
    """Return the end of the run of capitalised words that begins at ``at``; punctuation ends it."""
    while at < len(words) and _is_name(_core(words[at][1])):
        at += 1
        if _core(words[at - 1][1]) != words[at - 1][1]:
            break
    return at


def _is_name(core: str) -> bool:
    return len(core) > 1 and core[0].isupper() and core.replace("-", "").isalpha()


def _core(word: str) -> str:
    """Return a word without trailing punctuation."""
    end = len(word)
    while end and not (word[end - 1].isalnum() or word[end - 1] == "_"):
        end -= 1
    return word[:end]


def _pieces(text: str, most: int) -> Iterator[str]:
    """Yield at most ``most`` pieces of a text, evenly spread, without the incomplete sentences at their edges."""
    count = min(most, max(len(text) // _PIECE, 1))
    for number in range(count):
        start = number * len(text) // count
        piece = text[start : start + _PIECE]
        first = _SENTENCE.search(piece) if start else None
        last = None if start + _PIECE >= len(text) else max((m.start() for m in _SENTENCE.finditer(piece)), default=0)
        yield piece[first.end() if first else 0 : last]
