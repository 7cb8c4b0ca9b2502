"""Facts as text: the span of the object is right for any name and template, and triples are as published."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.config.choice import Choice
from kis_plugin.config.options import chosen
from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Fact, Knowledge, Templates
from kis_plugin.templates.book import TemplateBook
from kis_plugin.templates.load import load_templates
from kis_plugin.templates.renderers import Sentences, Triples
from kis_plugin.tokenized.tokenizer import render

OBJECT_FIRST = Templates(
    ("{object} is the capital of {subject}.", "The capital of {subject}: {object}", "x {subject} {object}")
)
names = st.text(st.sampled_from("ab {}") | st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)
names |= st.sampled_from(["{object}", "{subject}", "{subject}{object}", "{", "}", "{}", "a", "is the capital of"])


def book(**templates: Templates) -> TemplateBook:
    return load_templates(None, Knowledge((Fact("a", "capital", "b"),), templates=templates))


@given(names, names)
def test_the_object_span_is_right(subject, obj):
    found, fact = book(capital=OBJECT_FIRST), Fact(subject, "capital", obj)
    assert Sentences().template_count("capital", found) == 2
    expected = [(f"{obj} is the capital of {subject}.", 0), (f"The capital of {subject}: {obj}", len(subject) + 17)]
    for number, (text, first) in enumerate(expected):
        infused = Sentences().render(fact, number, found)
        assert (infused.text, infused.object) == (text, (first, first + len(obj)))
        assert infused.text[slice(*infused.object)] == obj


def test_seen_probes_use_the_infused_sentence():
    found, fact = book(), Fact("Mali", "P36", "Bamako")
    for number, template in enumerate(found.of("P36").trained):
        assert Sentences().render(fact, number, found).text == render(template, fact)


def test_the_span_is_the_object_where_the_name_occurs_twice():
    infused = Sentences().render(Fact("Mexico", "capital", "Mexico"), 0, book(capital=OBJECT_FIRST))
    assert (infused.text, infused.object) == ("Mexico is the capital of Mexico.", (0, 6))
    infused = Sentences().render(Fact("Mexico", "capital", "Mexico"), 1, book(capital=OBJECT_FIRST))
    assert infused.object == (len("The capital of Mexico: "), len("The capital of Mexico: Mexico"))


def test_two_books_of_one_relation_do_not_mix():
    one, other = book(capital=OBJECT_FIRST), book(capital=Templates(("{subject} {object}", "y {subject} {object}")))
    fact = Fact("a", "capital", "b")
    assert Sentences().render(fact, 0, one).text == "b is the capital of a."
    assert Sentences().render(fact, 0, other).text == "a b"
    assert Sentences().render(fact, 0, one).text == "b is the capital of a."


def test_triples_are_written_as_those_published_with_kelm():
    """KELM-corpus's README (Agarwal et al. 2021): a triple (Person X, award received, Award Y), and how it serialises.

    "The format is "<subject> <relation> <object>"" of its serialized triples, which T5 was given.
    """
    fact = Fact("Person X", "award received", "Award Y")
    assert Triples().render(fact, 0, book()).text == "Person X, award received, Award Y"
    assert Triples(separator=" ").render(fact, 0, book()).text == "Person X award received Award Y"


@given(names, names, st.sampled_from([", ", " ", " | ", "{object}"]), st.sampled_from(["", "."]))
def test_the_object_span_of_a_triple_is_right(subject, obj, separator, end):
    infused = Triples(separator, end).render(Fact(subject, "P36", obj), 0, book())
    assert infused.text == f"{subject}{separator}capital{separator}{obj}{end}"
    assert infused.text[slice(*infused.object)] == obj
    assert infused.object[1] == len(infused.text) - len(end)
    assert Triples(separator, end).template_count("P36", book()) == 1


def test_a_triple_is_joined_by_the_configured_separator():
    assert chosen("renderers", Choice("triples", {"separator": " | "}), "x") == Triples(" | ")
    for option in ({"separator": ""}, {"separator": "\n"}, {"end": 1}, {"separater": "|"}):
        with pytest.raises(KISError, match="x"):
            chosen("renderers", Choice("triples", option), "x")
