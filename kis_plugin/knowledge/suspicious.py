"""Notes about facts that are probably not what their author meant: addresses, ids, time stamps, misspelt relations.

Nothing here is an error: a fact may be about an address. But a model that learns ``The capital of Q38 is Q220.`` has
learnt nothing, and a relation that is spelt in two ways is two relations with templates of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kis_plugin.knowledge.facts import Fact
from kis_plugin.knowledge.sources.text_files import quoted
from kis_plugin.storage.text_rules import many
from kis_plugin.storage.unicode_forms import folded

__all__ = ["suspicious_facts", "suspicious_relations"]

_LABELS = "Export labels beside them: columns such as subjectLabel are preferred."
_KINDS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("an address", re.compile(r"<?(?:[A-Za-z][A-Za-z0-9+.-]*://|(?:urn|mailto|doi):)\S+>?"), _LABELS),
    ("a Wikidata id", re.compile(r"[QL][1-9][0-9]*(?:-[FS][0-9]+)?"), _LABELS),
    (
        "the path of an entity or property",
        re.compile(
            r"(?:(?:wd|wdt|p|ps|pq|dbr|dbo|dbp|schema|yago|rdfs?|foaf|skos|owl|ex):"
            r"|/?(?:entity|prop|resource|ontology|property|wiki)/(?:[\w-]+/)*|/(?:[\w-]+/)+)[\w().,%'-]+"
        ),
        _LABELS,
    ),
    ("a term of RDF", re.compile(r'".*"(?:@[A-Za-z-]+|\^\^[^\s"]+)|_:\S+'), "Export plain text."),
    (
        "a time stamp",
        re.compile(
            r"[+-]?[0-9]{4,}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?:\.[0-9]+)?(?:Z|[+-][0-9:]+)?"
        ),
        "Write dates as text does: 5 October 1143.",
    ),
    # Full-width letters and digits, ligatures, mathematical letters, presentation forms, compatibility ideographs.
    (
        "text in other forms of letters",
        re.compile(
            r"(?s:.*)[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\ufb00-\ufb06\ufb50-\ufdff\ufe70-\ufefc\uf900-\ufaff"
            r"\U0001d400-\U0001d7ff](?s:.*)"
        ),
        "Some tokenizers read them as plain letters, others do not: write plain ones.",
    ),
    # Zero-width space, byte-order mark, soft hyphen, direction marks; joiners belong to some scripts.
    (
        "text with hidden characters",
        re.compile(r"(?s:.*)[\u200b\ufeff\u00ad\u202a-\u202e\u2066-\u2069](?s:.*)"),
        "Tokenizers read them: remove them.",
    ),
)
# Cheap test: one of these characters is in every text that a kind matches.
_LIKELY = re.compile(
    r"[:/]|[QL][0-9]|\"|_:|[\u00ad\u200b\u202a-\u202e\u2066-\u2069\uf900-\ufdff\ufe70-\uff5a\U0001d400-\U0001d7ff]"
)
_PROPERTY = re.compile(r"P[0-9]+")
_SHORTEST = 5  # letters of relations that one letter may tell apart
_MOST_PAIRS = 10  # that are named


@dataclass
class _Found:
    count: int
    first: Fact
    text: str


def suspicious_facts(facts: Iterable[Fact]) -> Iterator[str]:
    """Yield one line for each kind of suspicious text and part of a fact, with its count and the first fact."""
    found: dict[tuple[str, str], _Found] = {}
    relations: set[str] = set()
    for fact in facts:
        parts = [("subject", fact.subject), ("object", fact.object)]
        if fact.relation not in relations:
            relations.add(fact.relation)
            parts.append(("relation", fact.relation))
        for part, text in parts:
            if kind := _kind(text):
                entry = found.setdefault((part, kind), _Found(0, fact, text))
                entry.count += 1
    hints = {name: hint for name, _, hint in _KINDS}
    for (part, kind), entry in found.items():
        many = f"{entry.count:,} {part}s look" if entry.count > 1 else f"1 {part} looks"
        yield f"{many} like {kind}: {quoted(entry.text)} in fact {entry.first.id!r}. {hints[kind]}"


def _kind(text: str) -> str:
    if not _LIKELY.search(text):
        return ""
    return next((name for name, pattern, _ in _KINDS if pattern.fullmatch(text)), "")


def suspicious_relations(relations: Mapping[str, int]) -> Iterator[str]:
    """Yield one line for each pair of relations that differ by case, punctuation or one letter.

    Args:
        relations: Facts of each relation.
    """
    names = [name for name in relations if not _PROPERTY.fullmatch(name)]
    order = {name: number for number, name in enumerate(names)}
    found = {tuple(sorted(pair, key=order.__getitem__)) for pair in _alike(names) if pair[0] != pair[1]}
    pairs = sorted(found, key=lambda pair: (order[pair[1]], order[pair[0]]))
    for number, (one, other) in enumerate(pairs):
        if number == _MOST_PAIRS:
            yield f"and {len(pairs) - _MOST_PAIRS:,} more pairs of relations that are nearly the same."
            return
        count = f"{many(relations[one], 'fact')} and {many(relations[other], 'fact')}"
        yield f"relations {one!r} and {other!r} are nearly the same ({count}). If they mean one relation, use one name."


def _alike(names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of names that are equal without case and punctuation, or differ in one letter, in order of names."""
    by_key: dict[str, str] = {}
    for name in names:
        key = re.sub(r"[\W_]+", "", folded(name))
        if key in by_key:
            yield by_key[key], name
        by_key.setdefault(key, name)
    # Two names differ in one letter if removing one letter from one or both gives the same text at the same place.
    without: dict[tuple[int, str], str] = {}
    for key, name in by_key.items():
        if len(key) < _SHORTEST:
            continue
        for at in range(len(key)):
            if key[at].isdigit():  # award1 and award2 are meant
                continue
            shorter = key[:at] + key[at + 1 :]
            if shorter in by_key:
                yield by_key[shorter], name
            other = without.setdefault((at, shorter), name)
            if other != name:
                yield other, name
