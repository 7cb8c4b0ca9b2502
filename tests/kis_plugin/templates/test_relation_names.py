"""How the name of a relation reads in the sentences that it gets where it has none of its own."""

from __future__ import annotations

import pytest

from kis_plugin.knowledge.facts import Fact, Knowledge
from kis_plugin.knowledge.template_rules import problems_of
from kis_plugin.templates.book import in_words
from kis_plugin.templates.load import load_templates
from kis_plugin.templates.relation_names import PREDICATE_TEMPLATES, reading_of

READS = [
    ("capital", "The capital of A is B."),
    ("place_of_birth", "The place of birth of A is B."),
    ("date of birth", "The date of birth of A is B."),
    ("estimated population", "The estimated population of A is B."),
    ("feed", "The feed of A is B."),
    ("series", "The series of A is B."),
    ("has capital", "The capital of A is B."),
    ("hasCapital", "The capital of A is B."),
    ("has a child", "The child of A is B."),
    ("had_owner", "The owner of A is B."),
    ("has", "A has B."),
    ("has won prize", "A has won prize B."),
    ("has written", "A has written B."),
    ("has effect on", "A has effect on B."),
    ("capital of", "A is the capital of B."),
    ("capital_of", "A is the capital of B."),
    ("capitalOf", "A is the capital of B."),
    ("member of", "A is a member of B."),
    ("instance of", "A is an instance of B."),
    ("part of", "A is part of B."),
    ("head of government of", "A is the head of government of B."),
    ("composed of", "A is composed of B."),
    ("north of", "A is north of B."),
    ("is capital of", "A is the capital of B."),
    ("isCitizenOf", "A is a citizen of B."),
    ("is the author of", "A is the author of B."),
    ("was president of", "A was the president of B."),
    ("is made of", "A is made of B."),
    ("is a", "A is a B."),
    ("is", "A is B."),
    ("is located in", "A is located in B."),
    ("was_born_in", "A was born in B."),
    ("is similar to", "A is similar to B."),
    ("born in", "A is born in B."),
    ("located_in", "A is located in B."),
    ("married to", "A is married to B."),
    ("named after", "A is named after B."),
    ("directed by", "A is directed by B."),
    ("successor to", "A is successor to B."),
    ("in", "A is in B."),
    ("near", "A is near B."),
    ("graduated from", "A graduated from B."),
    ("died in", "A died in B."),
    ("works at", "A works at B."),
    ("plays for", "A plays for B."),
    ("belongs to", "A belongs to B."),
    ("consists of", "A consists of B."),
    ("shares border with", "A shares border with B."),
    ("wrote", "A wrote B."),
    ("founded", "A founded B."),
    ("owns", "A owns B."),
    ("speaks language", "A speaks language B."),
    ("can speak", "A can speak B."),
]


def book_of(*relations: str):
    return load_templates(None, Knowledge(facts=tuple(Fact("A", relation, "B", "1") for relation in relations)))


@pytest.mark.parametrize(("relation", "sentence"), READS, ids=[row[0] for row in READS])
def test_a_name_without_templates_reads_as_english(relation, sentence):
    book = book_of(relation)
    found = book.of(relation)
    assert found.trained[0].replace("{subject}", "A").replace("{object}", "B") == sentence
    assert not book.misread(relation)
    assert reading_of(in_words(relation)).sure
    texts = (*found.statements, *found.questions, *found.reversed)
    assert not any(" of of " in text or "{relation}" in text for text in texts)


@pytest.mark.parametrize("relation", ["P9999", "rel_7", "r12", "is type", "can"])
def test_a_name_that_is_no_english_is_misread(relation):
    assert book_of(relation).misread(relation)


def test_all_sentences_of_a_predicate_are_well_formed():
    found = book_of("capital of").of("capital of")
    assert found.reversed == ("The one that is the capital of {object} is {subject}.",)
    assert "{subject} is the capital of what? {object}" in found.questions
    assert len(found.trained) == len(found.held_out) == 2
    assert problems_of(PREDICATE_TEMPLATES, "predicate", generic=True) == []


def test_names_of_relations_with_templates_of_their_own_are_nobodys_business(tmp_path):
    path = tmp_path / "templates.yaml"
    path.write_text("""P9999:\n  statements: ["{subject} beats {object}.", "{object} loses to {subject}."]\n""")
    book = load_templates(str(path), Knowledge(facts=(Fact("A", "P9999", "B", "1"),)))
    assert not book.misread("P9999")


@pytest.mark.parametrize(
    ("statement", "relation", "misread"),
    [
        ("The {relation} of {subject} is {object}.", "capital", False),
        ("The {relation} of {subject} is {object}.", "capital of", True),
        ("The {relation} of {subject} is {object}.", "works at", True),
        ("The {relation} of {subject} is {object}.", "has capital", True),
        ("{subject} {relation} {object}.", "works at", False),
    ],
)
def test_generic_templates_of_a_users_own_take_the_name_as_it_is(tmp_path, statement, relation, misread):
    path = tmp_path / "templates.yaml"
    path.write_text(f"""'*':\n  statements: ["{statement}", "Of {{subject}}: {{relation}} {{object}}."]\n""")
    book = load_templates(str(path), Knowledge(facts=(Fact("A", relation, "B", "1"),)))
    assert book.of(relation).statements[0] == statement.replace("{relation}", relation)
    assert book.misread(relation) is misread


def test_a_label_reads_as_a_name_does(tmp_path):
    path = tmp_path / "templates.yaml"
    path.write_text("r1:\n  label: capital of\n")
    book = load_templates(str(path), Knowledge(facts=(Fact("A", "r1", "B", "1"),)))
    assert book.of("r1").statements[0] == "{subject} is the capital of {object}."


def test_questions_across_two_facts_name_what_is_had():
    assert book_of("has capital").noun("has capital") == "capital"
    assert book_of("P36").noun("P36") == "capital"
