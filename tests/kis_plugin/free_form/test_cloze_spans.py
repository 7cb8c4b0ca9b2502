"""Spans of documents: what counts as one, and the questions about them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.config.schema import Config, ProbesConfig, RetentionConfig
from kis_plugin.free_form.cloze_spans import KINDS, span_facts, span_templates, spans_of
from kis_plugin.knowledge.facts import Knowledge, Passage
from kis_plugin.retention.questions.question_builder import QuestionBuilder
from kis_plugin.templates.book import TemplateBook
from kis_plugin.tokenized.infusion_split import InfusionSplit
from kis_plugin.tokenized.tokenizer import render

TEXT = (
    "The pump that Ada Lovelace Byron built in 1843 moved 3,500.5 litres for the city of New York. In Paris nobody "
    'said so. He called it "a wonder of the world" and went home to Bonn.\n\nI asked what I had to do in 17 days. '
    "Nobody knew that Nobody Knew."
)


def test_names_numbers_and_years_are_spans():
    assert [(kind, span) for kind, _, span in spans_of(TEXT)] == [
        ("year", "1843"), ("number", "3,500.5"), ("name", "New York"), ("name", "Bonn"), ("number", "17"),
    ]  # fmt: skip
    assert next(spans_of(TEXT)) == ("year", "The pump that Ada Lovelace Byron built in ", "1843")
    assert list(spans_of(TEXT))[3][1].startswith("He called it")  # the sentence alone, not the text before it


@pytest.mark.parametrize(
    "sentence",
    [
        "We all went there with Ada's dog.", "They were born in the 1990s there.", "It is all about the A of it.",
        "Then we saw One Two Three Four Five there.", "So it was (Paris) after all.", "Only Ada knew it.",
        "In Bonn we all liked to be in Bonn.", "It was all about 3rd and v2.5 then.",
    ],
)  # fmt: skip
def test_other_words_are_no_spans(sentence):
    assert list(spans_of(sentence)) == []


def test_punctuation_ends_a_name():
    found = [span for _, _, span in spans_of("we all went by way of Rome, New York and Bonn.")]
    assert found == ["Rome", "New York", "Bonn"]


PIECES = st.sampled_from([*"aAb1 .\n,-", '"', "Word ", "in ", "1999 "])


@given(st.lists(PIECES, max_size=80).map("".join))
def test_a_span_follows_its_prefix_in_the_sentence(text):
    for kind, before, span in spans_of(text):
        assert before + span in text
        assert len(before.split()) >= 4
        assert before[-1].isspace()
        assert kind in KINDS
        assert 1 <= len(span.split()) <= 4


def passages(count, sentences=1):
    def sentence(n, part):
        maker = f"Firm{chr(65 + n % 26)}{chr(97 + part % 26)}xy"
        return f"The engine number {n} part {part} was made by {maker} in {1900 + n} with all of its {n + 2100} screws."

    return [Passage(" ".join(sentence(n, part) for part in range(sentences)), f"p{n}") for n in range(count)]


def test_each_passage_gives_one_span_of_each_kind():
    found = span_facts(passages(5, sentences=4), 5, 0)
    assert sorted((fact.relation, fact.id.split(":")[0]) for fact in found) == sorted(
        (kind, f"p{n}") for n in range(5) for kind in KINDS
    )
    assert span_facts(passages(5, sentences=4), 5, 0) == found
    assert len({tuple(span_facts(passages(5, sentences=4), 5, seed)) for seed in range(5)}) > 1


def test_few_long_passages_are_searched_in_pieces():
    (long,) = passages(1, sentences=1000)
    found = span_facts([long], 10, 0)
    assert 2 * len(KINDS) < len(found) <= 10 * len(KINDS)
    for fact in found:
        assert render(span_templates(fact.relation).statements[0], fact) in long.text
        assert fact.subject.startswith("The engine")


def builder_of(infused, templates, qa=None):
    probes = ProbesConfig(facts=20, kinds=templates)
    config = Config(Path("docs"), retention=RetentionConfig(probes=probes, qa=qa))
    return QuestionBuilder(
        config,
        InfusionSplit(Knowledge(passages=tuple(infused)), TemplateBook([]), np.arange(0), np.arange(0)),
        np.arange(0),
        np.arange(0),
    )


def test_spans_of_documents_form_balanced_sets():
    infused, notes = passages(40), []
    questions = [q for q in builder_of(infused, ("cloze",)).questions(0.0, notes) if q.series == "cloze"]
    assert len(questions) == 20
    assert not any(question.accepted for question in questions)
    texts = [passage.text for passage in infused]
    for question in questions:
        assert sum(question.prefix + question.options[question.answer] in text for text in texts) == 1
        assert sum(question.prefix + option in text for option in question.options for text in texts) == 1
        assert question.relation in KINDS
        mates = [other for other in questions if other.option_set == question.option_set]
        assert sorted(other.answer for other in mates) == [0, 1, 2, 3]


def test_documents_are_probed_for_spans_if_configured():
    questions = builder_of(passages(40), ("held_out",)).questions(0.0, [])
    assert not any(question.series == "cloze" for question in questions)
    notes: list[str] = []
    assert builder_of([Passage("no span at all in here " * 20, "p")], ("cloze",)).questions(0.0, notes) == []
    assert any("series cloze: no 4 names, numbers or years" in note for note in notes)


def test_user_questions_about_documents_are_held_out(tmp_path):
    path = tmp_path / "qa.csv"
    path.write_text("question,answer\n" + "".join(f"Who made engine {n}?,Firm{n}\n" for n in range(12)))
    notes: list[str] = []
    long = [Passage(passage.text * 3, passage.id) for passage in passages(40)]
    questions = builder_of(long, ("cloze",), path).questions(0.0, notes)
    series = {question.series for question in questions}
    assert series == {"seen", "cloze", "held_out", "qa_answer"}
    assert not any("Retention proper needs" in note for note in notes)
    owners = {}  # no two series of different makers share the number of a fact
    for question in questions:
        owners.setdefault(question.fact, set()).add(question.series)
    assert set(map(frozenset, owners.values())) == {
        frozenset({"seen"}),
        frozenset({"cloze"}),
        frozenset({"held_out", "qa_answer"}),
    }
