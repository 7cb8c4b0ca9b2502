"""When a free-form answer is right, and when it can no longer become right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.free_form.matching import Matcher, Verdict, ends_plainly, frequency_baseline, words_of
from kis_plugin.retention.questions.question import Question

ALIAS, EXACT, OPEN, WRONG = Verdict.ALIAS, Verdict.EXACT, Verdict.OPEN, Verdict.WRONG


def matcher(*names, closing=".", glued=False):
    return Matcher(frozenset(names[:1]), frozenset(names), closing, glued)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Hague", "hague"), ("New  York", "new york"), ("U.S.A.", "USA"), ("Saint-Denis", "saintdenis"),
        ("an apple", "Apple"), ("1,234,567", "1234567"), ("STRASSE", "straße"), ("e\u0301", "é"), ("“Rome”", "rome"),
    ],
)  # fmt: skip
def test_squad_normalisation_matches(one, other):
    assert words_of(one) == words_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("C++", "C"), ("3.5", "35"), ("1,5", "15"), ("1990-95", "199095"), ("Zürich", "Zurich"), ("A", ""), ("!", "?")],
)
def test_different_names_do_not_match(one, other):
    assert words_of(one) != words_of(other)


@pytest.mark.parametrize(
    ("text", "ended", "verdict"),
    [
        (" Paris. The", False, EXACT), (" Paris", True, EXACT), (" Paris\nThe", False, EXACT),
        (" Paris! ", False, EXACT), (' Paris." ', False, EXACT), (" Paris.", True, EXACT),
        (" paris. ", False, ALIAS), (" the Paris. ", False, ALIAS), (" Lutetia. ", False, ALIAS),
        (" City of Light\n", False, ALIAS),
        (" Paris", False, OPEN), (" Paris.", False, OPEN), (" Par", False, OPEN), (" The", False, OPEN),
        (" ", False, OPEN), (" city of", False, OPEN),
        (" Parisian", False, WRONG), (" Parisian.", True, WRONG), (" Paris, France. ", True, WRONG),
        (" Paris is", False, WRONG), ("\nParis", True, WRONG), ("", True, WRONG), (" Par", True, WRONG),
        (" Paris.fr", False, WRONG), (" London", False, WRONG),
    ],
)  # fmt: skip
def test_an_answer_is_judged_as_early_as_possible(text, ended, verdict):
    assert matcher("Paris", "Lutetia", "City of Light").judge(text, ended) == verdict


@pytest.mark.parametrize(
    ("name", "text", "verdict"),
    [
        ("3", " 3.5. ", WRONG), ("3", " 3. ", EXACT), ("3.5", " 3.5. ", EXACT), ("35", " 3.5. ", WRONG),
        ("Washington, D.C.", " Washington, D.C. The", EXACT), ("Washington, D.C.", " Washington, D.C.. ", EXACT),
        ("Washington, D.C.", " Washington D.C. ", ALIAS), ("St. Louis", " St. Louis. ", EXACT),
        ("The The", " The The. ", EXACT), ("!", " !. ", EXACT), ("!", " . ", WRONG), ("A", " A. ", EXACT),
        ("Boot", ' Boot" is', WRONG), ("1000", " 1,000. ", ALIAS),
    ],
)  # fmt: skip
def test_punctuation_within_a_name_ends_nothing(name, text, verdict):
    assert matcher(name).judge(text, ended=verdict is WRONG) == verdict


def test_the_closing_of_the_template_ends_an_answer():
    assert matcher("Boot", closing='"').judge(' Boot" is', False) == EXACT
    assert matcher("Boot", closing=").").judge(" Boot). ", False) == EXACT


def test_a_letter_glued_to_the_prompt_is_wrong():
    assert matcher("To", glued=True).judge("to. ", False) == WRONG
    assert matcher("To", glued=True).judge(" to. ", False) == ALIAS
    assert matcher("To").judge("To. ", False) == EXACT


PIECES = st.lists(
    st.sampled_from([*'ab3e.,"! \n-', "\u0301", "\u0327", "\u00e9", "the", "an ", "A", "\u2026", "ß"]), max_size=7
)
TEXTS = PIECES.map("".join)
NAMES = st.lists(TEXTS.map(str.strip).filter(lambda name: name and "\n" not in name), min_size=1, max_size=3)


@given(NAMES, TEXTS, TEXTS, st.booleans(), st.sampled_from(["", ".", '".']), st.booleans())
def test_a_verdict_is_final_whatever_follows(names, text, more, ended, closing, glued):
    judge = matcher(*names, closing=closing, glued=glued).judge
    before = judge(text, False)
    if before is not OPEN:
        assert judge(text + more, ended) == before


@given(NAMES, st.sampled_from(["", "."]))
def test_every_name_can_be_matched(names, closing):
    for name in names:
        judge = matcher(*names, closing=closing).judge
        assert judge(f" {name}", True) >= ALIAS
        for length in range(len(name) + 1):
            assert judge(f" {name[:length]}", False) is not WRONG


@pytest.mark.parametrize(
    ("sentence", "plain"),
    [("{subject} in {object}.", True), ("{subject}: “{object}”!", True), ("{subject} {object}", True),
     ("{object} of {subject}.", False), ("{subject} has {object} in it.", False), ("{subject} is {object} .", False)],
)  # fmt: skip
def test_sentences_that_end_with_their_object(sentence, plain):
    assert ends_plainly(sentence) == plain


def test_free_form_baseline_is_the_most_frequent_name():
    def probe(relation, *accepted):
        return Question(0, "x ", accepted[:1], 0, "cloze", relation, accepted=accepted)

    questions = [
        probe("r", "Rome"), probe("r", "the rome"), probe("r", "Oslo"), probe("r", "Urbs", "Rome"),
        probe("s", "red"), probe("s", "blue"),
    ]  # fmt: skip
    assert frequency_baseline(questions) == pytest.approx((3 + 1) / 6)


@pytest.mark.parametrize(
    ("name", "text"),
    [("Zo\u00eb", " Zoe\u0308. "), ("Zoe\u0308", " Zo\u00eb. "), ("New York", " New\u00a0York. "),
     ("Krankenhaus", " Kranken\u00adhaus. "), ("\u00c5", " \u212b. ")],
)  # fmt: skip
def test_the_encoding_of_letters_does_not_matter(name, text):
    assert matcher(name).judge(text, False) == EXACT
