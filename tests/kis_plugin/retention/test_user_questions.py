"""The user's own questions, with options and without."""

import pytest

from kis_plugin.knowledge.sources.qa import UserQuestion
from kis_plugin.retention.questions.user_questions import user_questions
from kis_plugin.retention.series import QA, QA_ANSWER


def questions_from(found, options=4, limit=1000, series=QA):
    notes: list[str] = []
    return user_questions(found, series, options, limit, 0, notes), notes


def many(count, **keys):
    return [UserQuestion(f"Which part has the P{n}?", f"seal {n % 10}", **keys) for n in range(count)]


def of(questions, series):
    return [question for question in questions if question.series == series]


def test_answers_of_one_topic_form_balanced_sets():
    found = many(20, topic="seals") + [
        UserQuestion(f"Who made the P{n}?", f"firm {n}", topic="firms") for n in range(8)
    ]
    questions, notes = questions_from(found)
    chosen = of(questions, QA)
    assert (len(chosen), notes) == (28, [])
    for question in chosen:
        own = found[question.fact]
        assert question.prefix == f"{own.question} "
        assert question.options[question.answer] == own.answer
        assert len(set(question.options)) == 4
        assert {option.split()[0] for option in question.options} == {own.answer.split()[0]}
        mates = [other for other in chosen if other.option_set == question.option_set]
        assert sorted(other.options[other.answer] for other in mates) == sorted(question.options)


def test_a_question_may_bring_its_own_options():
    found = [UserQuestion("Who?", "Ada", (), ("Bob", "Cyd", "Dot", "Eve"))]
    (question, free), notes = questions_from(found, series="held_out")
    assert (question.series, question.prefix, question.options, question.answer) == (
        "held_out", "Who? ", ("Ada", "Bob", "Cyd", "Dot"), 0,
    )  # fmt: skip
    assert (free.series, notes) == (QA_ANSWER, [])


def test_every_question_is_answered_freely_too():
    found = [UserQuestion("Who?", "Ada", ("Lady A", "Ada"), ("Bob",)), *many(3)]
    questions, notes = questions_from(found)
    free = of(questions, QA_ANSWER)
    assert [(question.prefix, question.options, question.accepted) for question in free[:2]] == [
        ("Who? ", ("Ada",), ("Ada", "Lady A")),
        ("Which part has the P0? ", ("seal 0",), ("seal 0",)),
    ]
    assert of(questions, QA) == []
    assert notes == [
        "warning: series qa: 4 of 4 questions of your own have no 4 options (1 of them name fewer than 3 wrong "
        "options; qa: 3 distinct objects among 3 facts, 4 needed)"
    ]


def test_an_alias_of_the_answer_is_no_wrong_option():
    found = [UserQuestion(f"Q{n}?", f"answer {n}") for n in range(3)] + [UserQuestion("Q3?", "fourth", ("Answer 0",))]
    assert of(questions_from(found)[0], QA) == []
    assert len(of(questions_from([*found[:3], UserQuestion("Q3?", "fourth")])[0], QA)) == 4


@pytest.mark.parametrize("limit", [1, 40, 1000])
def test_the_limit_applies_to_user_questions(limit):
    questions, notes = questions_from(many(100), limit=limit)
    assert len(of(questions, QA_ANSWER)) == min(limit, 100)
    assert any("of 100 questions of your own are evaluated" in note for note in notes) == (limit < 100)
    assert questions_from(many(100), limit=limit) == (questions, notes)


def test_no_user_questions_give_no_questions():
    assert questions_from([]) == ([], [])


def test_a_question_with_several_answers_accepts_all_of_them():
    users = [UserQuestion("Which language?", one, aliases=(f"{one}s",)) for one in ("Dutch", "French")]
    users.append(UserQuestion("which  language?", "German"))
    free = [question for question in user_questions(users, QA, 2, 10, 0, []) if question.series == QA_ANSWER]
    answers = {"Dutch", "French", "German"}
    assert [question.accepted[0] for question in free] == ["Dutch", "French", "German"]
    assert all(set(question.accepted[: question.objects]) == answers for question in free)
    assert all(set(question.accepted) == {*answers, "Dutchs", "Frenchs"} for question in free)
