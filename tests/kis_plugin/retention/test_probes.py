from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.knowledge.facts import Fact, Passage, Templates
from kis_plugin.retention.questions.distractors import OptionSet, option_sets
from kis_plugin.retention.questions.passages import PASSAGE, passage_facts, passage_templates
from kis_plugin.retention.questions.probes import BUILT_IN
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.tokenized.tokenizer import render

few = st.sampled_from
KINDS = {kind.name: kind for kind in BUILT_IN}
CITIES = ["Rome", "Oslo", "Lima", "Baku", "Bonn", "Cork", "Kyiv", "Riga"]
FACTS = [Fact(f"Person {number}", "born in", city) for number, city in enumerate(CITIES)]
SETS = [OptionSet("born in", (0, 1, 2, 3)), OptionSet("born in", (4, 5, 6, 7))]
TEMPLATES = Templates(
    (
        "{subject} was born in {object}.",
        "{subject} saw the light of day in {object}.",
        "{object} is where {subject} was born.",
        "The birthplace of {subject}: {object}",
    ),
    ("Where was {subject} born? {object}",),
)


def maker(templates=TEMPLATES, sets=SETS, facts=FACTS, seed=0):
    return QuestionMaker(facts, sets, lambda relation: templates, seed)


def sentences(kind, **changed):
    return [question.prefix + question.options[question.answer] for question in KINDS[kind].questions(maker(**changed))]


def test_seen_probes_are_infused_sentences():
    assert sentences("seen") == [render(TEMPLATES.statements[0], fact) for fact in FACTS]


def test_held_out_probes_never_use_a_training_template():
    probed = Counter("is where" in text for text in sentences("held_out"))
    assert probed == {True: 4, False: 4}
    assert not any("was born in" in text or "saw the light" in text for text in sentences("held_out"))


def test_relations_without_questions_are_left_out():
    assert sentences("question")[0] == "Where was Person 0 born? Rome"
    assert sentences("question", templates=Templates(TEMPLATES.statements)) == []


@pytest.mark.parametrize("kind", ["held_out", "question"])
@pytest.mark.parametrize("per_fact", [1, 2, 9])
def test_each_fact_gets_the_wanted_number_of_templates(kind, per_fact):
    questions = KINDS[kind].questions(
        QuestionMaker(FACTS, SETS, lambda relation: TEMPLATES, 0, templates_per_fact=per_fact)
    )
    there = min(per_fact, {"held_out": 2, "question": 1}[kind])
    assert Counter(question.fact for question in questions) == dict.fromkeys(range(len(FACTS)), there)
    assert len({(question.fact, question.prefix[:5]) for question in questions}) == len(questions)
    # The first sentence of each is the one that it is evaluated in where only one is wanted.
    assert set(KINDS[kind].questions(maker())) <= set(questions)


def test_answering_by_object_gives_chance_in_all_templates():
    questions = KINDS["held_out"].questions(
        QuestionMaker(FACTS, SETS, lambda relation: TEMPLATES, 0, templates_per_fact=2)
    )
    assert sum(question.answer == CITIES.index("Oslo") for question in questions[:8]) == 2


def test_options_are_the_objects_of_the_set():
    first = KINDS["seen"].questions(maker())[1]
    assert first.prefix == "Person 1 was born in "
    assert first.options == ("Rome.", "Oslo.", "Lima.", "Baku.")
    assert (first.fact, first.answer, first.series) == (1, 1, "seen")


def test_options_contain_the_subject_where_it_comes_last():
    question = maker().of_set("mine", SETS[0], "{object} is where {subject} was born.")[2]
    assert question.prefix == ""
    assert question.options[0] == "Rome is where Person 2 was born."


@given(
    st.lists(st.text(min_size=1), min_size=6, max_size=6),
    st.sampled_from([*TEMPLATES.statements, "«{object}»{subject}"]),
)
def test_prefix_and_option_make_the_rendered_sentence(names, sentence):
    facts = [Fact(names[n], "P1", names[n + 3]) for n in range(3)]
    for question in maker(facts=facts).of_set("any", OptionSet("P1", (0, 1, 2)), sentence):
        for text, other in zip(question.options, facts, strict=True):
            assert question.prefix + text == render(sentence, facts[question.fact], other.object)


def test_the_seed_chooses_the_first_template_of_a_set():
    assert len({tuple(sentences("held_out", seed=seed)) for seed in range(8)}) == 2


def test_facts_of_a_set_get_the_same_template():
    for start in (0, 4):
        probed = KINDS["held_out"].questions(maker())[start : start + 4]
        assert len({question.prefix == "" for question in probed}) == 1


def test_reversed_probes_ask_for_the_subject():
    question = KINDS["reversed"].questions(maker())[1]
    assert question.prefix == "Oslo is where "
    assert question.options == tuple(f"Person {number} was born." for number in range(4))
    assert (question.fact, question.answer, question.series, question.option_set) == (1, 1, "reversed", (0, 1, 2, 3))
    own = Templates(TEMPLATES.statements[:2], reversed=("In {object} was born {subject}.",))
    assert sentences("reversed", templates=own)[0] == "In Rome was born Person 0."


def test_reversed_probes_prefer_untrained_templates():
    trained = Templates(("{object} saw {subject} first.", "{subject} was born in {object}."))
    assert sentences("reversed", templates=trained)[0] == "Rome saw Person 0 first."
    other = Templates(trained.statements, reversed=("{object} is home to {subject}.",))
    assert sentences("reversed", templates=other)[0] == "Rome is home to Person 0."
    assert sentences("reversed", templates=Templates(TEMPLATES.statements[:2])) == []


@given(
    st.lists(
        st.builds(Fact, few(["Ann", "ann", "Bob", "Cid", "Dan"]), few(["P1", "P2"]), few(["x", "X", "y", "z", "w"])),
        max_size=30,
    ),
    st.integers(2, 4),
    st.integers(0, 99),
)
def test_reversed_options_are_right_for_one_object(facts, options, seed):
    sets = option_sets(facts, np.arange(len(facts)), options, 10**6, seed).sets
    true = {(fact.subject.casefold(), fact.relation, fact.object.casefold()) for fact in facts}
    back = Templates(TEMPLATES.statements)
    questions = KINDS["reversed"].questions(maker(back, sets, facts, seed))
    assert len(questions) == options * len(sets)
    for question in questions:
        fact, mates = facts[question.fact], [facts[index] for index in question.option_set]
        assert len({mate.subject.casefold() for mate in mates}) == options
        for place, mate in enumerate(mates):
            right = (mate.subject.casefold(), fact.relation, fact.object.casefold()) in true
            assert right == (place == question.answer)
            assert question.prefix + question.options[place] == render(
                "{object} is where {subject} was born.", mate, fact.object
            )


@given(
    names=st.lists(st.text(min_size=1), min_size=4, max_size=4),
    sentence=few(["{object}: {subject}", "«{object}»{subject}!"]),
)
def test_reversed_prefix_and_option_make_the_sentence(names, sentence):
    facts = [Fact(names[0], "P1", names[1]), Fact(names[2], "P1", names[3])]
    back = Templates(("{subject} {object}", "{subject}, {object}"), reversed=(sentence,))
    for question in KINDS["reversed"].questions(maker(back, [OptionSet("P1", (0, 1))], facts)):
        for text, other in zip(question.options, facts, strict=True):
            assert question.prefix + text == render(sentence, other, facts[question.fact].object)


WORDS = [f"word{number}" for number in range(60)]


@pytest.mark.parametrize(("words", "given"), [(20, 12), (25, 17), (60, 30)])
def test_a_passage_is_continued_by_its_next_eight_words(words, given):
    text = "  " + "\n".join(WORDS[:words])
    (fact,) = passage_facts([Passage(text, "p1")])
    assert text.startswith(fact.subject + fact.object)
    assert fact.subject.split() == WORDS[:given]
    assert fact.object.split() == WORDS[given : given + 8]
    assert fact.subject.endswith("\n")
    assert fact.relation == PASSAGE
    assert render(passage_templates(PASSAGE).statements[0], fact) == fact.subject + fact.object


def test_short_passages_are_left_out():
    assert passage_facts([Passage(" ".join(WORDS[:19]), "p1"), Passage("", "p2")]) == []
