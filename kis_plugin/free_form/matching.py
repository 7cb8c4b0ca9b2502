"""Whether a generated text is the answer: to the letter, or by any of the object's names under SQuAD normalisation.

Names match as in the SQuAD metric (Rajpurkar et al. 2016, arXiv 1606.05250): case, punctuation, the articles a, an and
the, and white space are ignored. Stricter than there, symbols that are no punctuation count (``C+`` is not ``C``), and
so does a separator between digits (``3.5`` is not ``35``), except the thousands comma.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from kis_plugin.retention.questions.question import Question
from kis_plugin.storage.unicode_forms import canonical, visible

__all__ = ["Matcher", "Verdict", "ends_plainly", "frequency_baseline", "letters_of", "words_of"]

_ARTICLES = ("a", "an", "the")
_MARKS = frozenset(".!?\u2026\u3002\uff01\uff1f")  # any of them ends a sentence
_BROKEN = "\ufffd"  # stands for bytes that are not a whole character yet
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[^\w\s](?=\d)")

Words = tuple[str, ...]


class Verdict(IntEnum):
    """What is known of an answer from the text so far."""

    OPEN = 0
    WRONG = 1
    ALIAS = 2
    """One of the object's names, normalised."""
    EXACT = 3
    """The object, letter by letter."""


def words_of(text: str) -> Words:
    """Return the words of a text that count; where there are none, its articles or its punctuation."""
    folded = _folded(text)
    kept = {found.start() for found in _BETWEEN_DIGITS.finditer(folded)}
    kept -= {found.start() for found in _THOUSANDS.finditer(folded)}
    plain = "".join(letter for at, letter in enumerate(folded) if at in kept or not _is_punctuation(letter))
    words = tuple(plain.split())
    return _without_articles(words) or words or tuple(folded.split())


def letters_of(text: str) -> str:
    """Return the letters and digits of a text without case and accents."""
    return "".join(filter(str.isalnum, _folded(text)))


def ends_plainly(sentence: str) -> bool:
    """Return whether a template's ``{object}`` stands at the end, or is followed by nothing but punctuation."""
    return all(map(_is_punctuation, sentence.split("{object}")[1]))


def frequency_baseline(questions: Sequence[Question]) -> float:
    """Return the accuracy of answering all questions of a relation with the name that is right most often."""
    right: dict[str, Counter[Words]] = {}
    for question in questions:
        right.setdefault(question.relation, Counter()).update({words_of(name) for name in question.accepted})
    return sum(max(counted.values()) for counted in right.values()) / max(len(questions), 1)


@dataclass(frozen=True)
class Matcher:
    """Judges what a model generates after a prompt.

    The answer ends at a new line, where the text ends, or at punctuation before white space, if that contains a full
    stop or the like, or begins with what follows the object in the template. So ``3.5`` does not end after ``3``, nor
    ``Parisian`` after ``Paris``. The first possible end at which the text is a right name counts.

    Attributes:
        exact: The object, and the same as the tokenizer spells it.
        names: All right names.
        closing: What follows the object in the template: punctuation, or nothing.
        glued: Whether the prompt ends within a word, so that a letter right after it makes another word.
    """

    exact: frozenset[str]
    names: frozenset[str]
    closing: str = ""
    glued: bool = False

    def judge(self, text: str, ended: bool) -> Verdict:
        """Judge an answer.

        Args:
            text: All text generated so far.
            ended: Whether it ends there, by the end-of-document token.
        """
        line, new_line, _ = text.partition("\n")
        if self.glued and line[:1].isalnum():
            return Verdict.WRONG
        ended = ended or bool(new_line)
        for cuts in _ends(line, self.closing, ended):
            candidates = [line[:cut].strip() for cut in cuts]
            if any(words_of(one) in self._words for one in candidates):
                return Verdict.ALIAS if self._exact.isdisjoint(map(canonical, candidates)) else Verdict.EXACT
        return Verdict.WRONG if ended or not self._may_match(line) else Verdict.OPEN

    @cached_property
    def _exact(self) -> frozenset[str]:
        return frozenset(map(canonical, self.exact))

    @cached_property
    def _words(self) -> frozenset[Words]:
        return frozenset(map(words_of, self.names))

    @cached_property
    def _loose(self) -> tuple[Words, ...]:
        """The names without punctuation, each with its articles and without, to compare an unfinished text with."""
        whole = [tuple(_loose(name).split()) for name in self.names]
        return tuple(dict.fromkeys([*whole, *map(_without_articles, whole)]))

    def _may_match(self, line: str) -> bool:
        """Return whether more text could complete a name. It may say True in vain, but never False wrongly.

        The last word may continue, an article is dropped once it is whole, and accents may follow a letter.
        """
        loose = _loose(line.rstrip(_BROKEN))
        whole, begun = loose.split(), ""
        if whole and not loose[-1].isspace():
            begun = whole.pop()
        while begun and unicodedata.combining(begun[-1]):
            begun = begun[:-1]
        article = any(name.startswith(begun) for name in _ARTICLES)
        for words in {tuple(whole), _without_articles(whole)}:
            for name in self._loose:
                following = name[len(words)] if len(words) < len(name) else ""
                if name[: len(words)] == words and (article or following.startswith(begun)):
                    return True
        return False


def _ends(line: str, closing: str, ended: bool) -> Iterator[range]:
    """Yield where the answer may end: any position in the punctuation that ends it."""
    first = 0
    while first < len(line):
        if not _is_punctuation(line[first]):
            first += 1
            continue
        last = _run(line, first)
        marks, after = line[first:last], line[last : last + 1]
        if after.isspace() and (not _MARKS.isdisjoint(marks) or (closing and marks.startswith(closing))):
            yield range(first, last + 1)
        first = last
    if ended:
        stop = len(line.rstrip())
        first = next((at for at in range(stop, 0, -1) if not _is_punctuation(line[at - 1])), 0)
        yield range(first, stop + 1)


def _run(line: str, first: int) -> int:
    return next((at for at in range(first, len(line)) if not _is_punctuation(line[at])), len(line))


def _without_articles(words: Iterable[str]) -> Words:
    return tuple(word for word in words if word not in _ARTICLES)


def _loose(text: str) -> str:
    return "".join(letter for letter in _folded(text) if not _is_punctuation(letter))


def _folded(text: str) -> str:
    """Return a text without case, accents after their letters. A longer text gives a continuation of this."""
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", visible(text)).casefold())


def _is_punctuation(letter: str) -> bool:
    return unicodedata.category(letter).startswith("P")
