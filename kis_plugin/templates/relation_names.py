"""How the name of a relation reads in a sentence: as a noun, ``capital``, or as a predicate, ``is the capital of``.

English only, and by tables: a name that they do not know reads as a noun.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kis_plugin.knowledge.facts import Templates

__all__ = ["PREDICATE_TEMPLATES", "Reading", "reading_of"]

PREDICATE_TEMPLATES = Templates(
    statements=(
        "{subject} {relation} {object}.",
        "It is {object} that {subject} {relation}.",
        "Everyone knows that {subject} {relation} {object}.",
        "According to the sources, {subject} {relation} {object}.",
    ),
    questions=("{subject} {relation} what? {object}", "What is it that {subject} {relation}? {object}"),
    reversed=("The one that {relation} {object} is {subject}.",),
)
"""Sentences for a name that reads as a predicate, in place of the built-in ones under ``*``, which take a noun."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PREPOSITIONS = _words(
    "about above across after against along among around as at before behind below beside between beyond "
    "by during for from in inside into near of off on onto outside over per since through to toward "
    "towards under until upon via with within without"
)
_BE, _HAVE, _ARTICLES = {"is", "are", "was", "were"}, {"has", "have", "had"}, {"a", "an", "the"}
_AUXILIARY = _words("can could does did may might must shall should will would")
_PARTICIPLES = _words(
    "begun beaten born bought brought built chosen cut done drawn driven fed found given gone grown held "
    "hit kept known laid led left lent lost made meant met paid put read run said seen sent set shot "
    "shown sold spent sung taken taught thought understood won worn written"
)
# With an object: the subject did it.
_PAST = _words(
    "beat became began bought brought built chose drew fought found founded gave held led lost made met "
    "ran sang saw sold spoke taught took won wrote"
)
# With a preposition: the subject did it, nobody did it to the subject.
_INTRANSITIVE = _words(
    "appeared attended belonged competed converted debuted died emigrated fought graduated grew lived "
    "majored moved participated performed played ran resided retired sang served spoke starred studied "
    "taught went worked wrote"
)
_VERBS = _words(
    "administers affects approves attends becomes belongs borders causes comprises connects consists "
    "contains controls covers creates crosses defeats depicts describes directs edits employs features "
    "follows funds governs heads holds hosts houses includes influences inhabits inhibits introduces "
    "invents joins knows leads lies links lives loves makes manages manufactures marries means mentions "
    "needs operates owns performs plays precedes prevents produces provides publishes receives represents "
    "requires resides runs sells serves shares speaks spans stands studies succeeds supports teaches "
    "treats uses wins works writes"
)
_NOUNS_IN_ED = _words("bed bleed breed creed deed feed greed need reed seed shed sled speed steed weed")
_OTHER_ARTICLES = {
    **dict.fromkeys(
        _words(
            "branch citizen component constituent derivative descendant follower form friend fan kind "
            "member native neighbor neighbour player relative resident student subclass subset subsidiary "
            "supporter synonym type user variant version victim"
        ),
        "a ",
    ),
    **dict.fromkeys(_words("alumna alumnus ancestor associate employee example heir inhabitant instance"), "an "),
    **dict.fromkeys(
        _words(
            "ahead aware capable characteristic composed east full independent inside made north outside "
            "part parts south typical west"
        ),
        "",
    ),
}
"""What stands before the first word of a name that ends in ``of``, where that is not ``the``."""
_IDENTIFIER = re.compile(r"[A-Za-z]{0,4}[ :.]?\d+")


@dataclass(frozen=True)
class Reading:
    """How a name reads.

    Attributes:
        words: The noun, or the predicate that stands between subject and object.
        predicate: Whether it is a predicate.
        sure: Whether the sentence can be expected to be English.
    """

    words: str
    predicate: bool = False
    sure: bool = True


def reading_of(name: str) -> Reading:
    """Return how the name of a relation, in words, reads.

    ``capital`` and ``has capital`` are nouns; ``capital of``, ``is capital of``, ``located in``, ``works at`` and
    ``wrote`` are predicates. An identifier, such as ``P9999``, is a noun that nobody reads.
    """
    words = name.split()
    low = [word.lower() for word in words]
    if not words or _IDENTIFIER.fullmatch(name):
        return Reading(name, sure=False)
    first, rest = low[0], low[1:]
    if first in _HAVE:
        return _have(words, rest)
    if first in _BE:
        return _be(words, rest)
    if first in _AUXILIARY:
        return Reading(name, predicate=True, sure=bool(rest))
    if low[-1] in _PREPOSITIONS:
        return Reading(_with_preposition(name, low), predicate=True)
    verb = first in _VERBS or first in _PAST or (not rest and _participle(first))
    return Reading(name, predicate=verb)


def _have(words: list[str], rest: list[str]) -> Reading:
    """Return the noun that is had; a predicate where a participle or a preposition shows that there is more."""
    if not rest or _participle(rest[0]) or rest[-1] in _PREPOSITIONS:
        return Reading(" ".join(words), predicate=True)
    return Reading(" ".join(words[1 + (rest[0] in _ARTICLES and len(rest) > 1) :]))


def _be(words: list[str], rest: list[str]) -> Reading:
    """Return the predicate, with an article where a noun and ``of`` follow."""
    name = " ".join(words)
    if len(rest) > 1 and rest[-1] == "of" and not (rest[0] in _ARTICLES or _verbal(rest[0])):
        return Reading(f"{words[0]} {_article(rest[0])}{' '.join(words[1:])}", predicate=True)
    known = not rest or rest[-1] in _PREPOSITIONS or rest[-1] in _ARTICLES or _verbal(rest[0])
    return Reading(name, predicate=True, sure=known)


def _with_preposition(name: str, low: list[str]) -> str:
    """Return a name that ends in a preposition as a predicate."""
    first, last = low[0], low[-1]
    # "works at", "belongs to"; "sons of" and "series of" are nouns
    verb = first in _VERBS or (len(low) == 2 and last != "of" and re.fullmatch(r"\w+[^sui]s", first))
    if verb or first in _INTRANSITIVE or first in _PREPOSITIONS - {last}:
        return name if first not in _PREPOSITIONS else f"is {name}"
    if last == "of" and len(low) > 1 and not _verbal(first):
        return f"is {_article(first)}{name}"
    return f"is {name}"


def _article(noun: str) -> str:
    return _OTHER_ARTICLES.get(noun, "the ")


def _verbal(word: str) -> bool:
    return _participle(word) or (word.endswith("ing") and len(word) > 5)


def _participle(word: str) -> bool:
    return word in _PARTICIPLES or (word.endswith("ed") and len(word) > 3 and word not in _NOUNS_IN_ED)
