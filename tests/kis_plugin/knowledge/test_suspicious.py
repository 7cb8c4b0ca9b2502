"""Notes about facts and relations that are probably not meant: each kind with its count and the first fact."""

from __future__ import annotations

import pytest

from kis_plugin.knowledge.facts import Fact
from kis_plugin.knowledge.suspicious import suspicious_facts, suspicious_relations

SUSPICIOUS = [
    ("http://www.wikidata.org/entity/Q38", "an address"),
    ("<https://dbpedia.org/resource/Rome>", "an address"),
    ("http://www.wikidata.org/.well-known/genid/abc", "an address"),
    ("urn:isbn:0451450523", "an address"),
    ("Q999", "a Wikidata id"),
    ("L12-F1", "a Wikidata id"),
    ("wd:Q38", "the path of an entity or property"),
    ("dbr:New_York", "the path of an entity or property"),
    ("entity/Q38", "the path of an entity or property"),
    ("/prop/direct/P36", "the path of an entity or property"),
    ("1143-10-05T00:00:00Z", "a time stamp"),
    ("+1952-03-11T00:00:00Z", "a time stamp"),
    ("2001-01-01 12:30", "a time stamp"),
    ('"Italy"@en', "a term of RDF"),
    ('"5"^^<http://www.w3.org/2001/XMLSchema#integer>', "a term of RDF"),
    ("_:b0", "a term of RDF"),
    ("\uff30erson 3", "text in other forms of letters"),
    ("Saint-O\ufb03ce", "text in other forms of letters"),
    ("\U0001d400lbert", "text in other forms of letters"),
    ("Person\u200b 3", "text with hidden characters"),
    ("\ufeffRome", "text with hidden characters"),
    ("Person \u202eX", "text with hidden characters"),
]
PLAIN = ["Rome", "Q", "QED", "Mission: Impossible", "AC/DC", "1952-03-11", "5 October 1143", "3:45", "R2-D2", 'the "Q"',
         "Queen", "Los Angeles", "Q & A", "http", "and/or", "Re: hello",
         "東京", "え\uff01", "5 m²", "\u0646\u0645\u06cc\u200c\u062f", "Zoë", "No. ½"]  # fmt: skip


@pytest.mark.parametrize(("text", "kind"), SUSPICIOUS)
def test_suspicious_names_are_noted_with_the_first_fact(text, kind):
    facts = [Fact("Italy", "P36", "Rome", "a"), Fact(text, "P36", "Oslo", "b"), Fact(text, "P36", "Bern", "c")]
    (note,) = suspicious_facts(facts)
    assert note.startswith(f"2 subjects look like {kind}: ")
    assert "in fact 'b'." in note
    (note,) = suspicious_facts([Fact("Italy", "P36", text, "z")])
    assert note.startswith(f"1 object looks like {kind}: ")


@pytest.mark.parametrize("text", PLAIN)
def test_plain_names_are_not_noted(text):
    assert list(suspicious_facts([Fact(text, "P36", "Rome", "a"), Fact("Rome", "P36", text, "b")])) == []


@pytest.mark.parametrize("relation", ["http://www.wikidata.org/entity/P36", "wdt:P36", "prop/direct/P36"])
def test_relations_that_are_paths_are_noted_once(relation):
    facts = [Fact(f"S{number}", relation, "Rome", str(number)) for number in range(5)]
    (note,) = suspicious_facts(facts)
    assert note.startswith("1 relation looks like")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dissolves_in", "dissolvesin"),
        ("crystalColour", "crystalColor"),
        ("birthPlace", "birth_place"),
        ("Capital", "capital"),
        ("capital of", "capital-of"),
        ("melting point", "melting paint"),
        ("discoverer", "discoveror"),
    ],
)
def test_relations_that_are_nearly_the_same_are_noted(one, other):
    for pair in ((one, other), (other, one)):
        (note,) = suspicious_relations({pair[0]: 59, "something else": 7, pair[1]: 1})
        assert note.startswith(f"relations {pair[0]!r} and {pair[1]!r} are nearly the same (59 facts and 1 fact)")


def test_other_relations_are_not_noted():
    names = ["P36", "P37", "P363", "father", "mother", "born in", "died in", "award1", "award2", "cast", "cost"]
    assert list(suspicious_relations(dict.fromkeys(names, 1))) == []


def test_many_pairs_are_counted():
    relations = {f"{name}{suffix}": 1 for name in map("relation{}".format, "abcdefghijkl") for suffix in ("", "_")}
    notes = list(suspicious_relations(relations))
    assert len(notes) == 11
    assert notes[-1].startswith("and ")
