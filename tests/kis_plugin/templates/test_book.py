"""Templates by relation: precedence of the layers, and what a template must not be."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Fact, Knowledge, Templates
from kis_plugin.knowledge.template_rules import distinct, normal, problems_of
from kis_plugin.templates.book import TemplateBook, in_words
from kis_plugin.templates.file import read_template_file
from kis_plugin.templates.load import BuiltInTemplates, load_templates
from kis_plugin.tokenized.tokenizer import render

pytestmark = pytest.mark.usefixtures("here")

CAPITAL = Fact("Italy", "P36", "Rome")
OWN = Fact("Ada", "birthPlace", "London")
CAME = Templates(("{object} governs {subject}.", "{subject} looks to {object}."))
MINE = """\
P36:
  label: seat of government
  statements:
    - "{subject} has its seat in {object}."
    - "The seat of {subject} is {object}."
  questions: ["What is the seat of {subject}? {object}"]
P9999:
  label: favourite colour
"""


def book(selection=None, templates=None, facts=(CAPITAL, OWN)) -> TemplateBook:
    return load_templates(selection, Knowledge(facts=tuple(facts), templates=templates or {}))


def mine(text: str = MINE) -> str:
    Path("mine.yaml").write_text(text)
    return "mine.yaml"


def problems(text: str) -> list[str]:
    with pytest.raises(KISError) as caught:
        read_template_file(Path(mine(text)))
    return [str(problem) for problem in caught.value.problems]


def test_templates_precedence_is_user_then_facts_then_built_in():
    all_three = book(mine(), {"P36": CAME, "P17": CAME})
    assert [all_three.origin(name) for name in ("P36", "P17", "P6", "P9999")] == [
        "mine.yaml", "knowledge", "built_in", "built_in, generic",
    ]  # fmt: skip
    assert all_three.of("P36").statements[0] == "{subject} has its seat in {object}."
    assert all_three.of("P17").statements == CAME.statements


def test_a_template_set_is_selected_by_name():
    chosen = book("built_in", {"P36": CAME})
    assert chosen.of("P36") == BuiltInTemplates().templates()["P36"]
    assert chosen.origin("P36") == "template set built_in"
    with pytest.raises(
        KISError, match=r"kis\.yaml:2 templates: found 'build_in', expected one of the installed templates"
    ):
        load_templates("build_in", Knowledge(), "kis.yaml:2 templates")


def test_the_built_in_templates_have_three_statements_or_more():
    for relation, templates in BuiltInTemplates().templates().items():
        assert len(templates.statements) >= 3, relation


def test_reversed_sentences_repeat_no_statement():
    assert book().of("P36").object_first == ("{object} is the capital of {subject}.",)
    assert book().of("birthPlace").object_first == ("{object} is the birth place of {subject}.",)
    # Statements that are trained on are the last resort: a built-in sentence comes before what came with the facts.
    assert book(templates={"P36": CAME}).of("P36").object_first == ("{object} is the capital of {subject}.",)
    infused = Templates(("{object} is the capital of {subject}", "{subject} looks to {object}."))
    assert book(templates={"P36": infused}).of("P36").object_first == infused.trained
    held_out = Templates(("{subject} looks to {object}.", "{object} governs {subject}."))
    assert book(templates={"P36": held_out}).of("P36").object_first == held_out.held_out
    own = MINE.replace("P9999:", '  reversed: ["{object} is the seat of {subject}."]\nP9999:')
    assert book(mine(own)).of("P36").object_first == ("{object} is the seat of {subject}.",)


def test_the_noun_precedes_the_label():
    assert [book().noun(name) for name in ("P36", "P421", "birthPlace")] == ["capital", "time zone", "birth place"]
    assert book("built_in").noun("P421") == "time zone"
    own = book(mine("P421: {label: clock}\nP36: {noun: seat}"))
    assert [own.noun(name) for name in ("P36", "P421")] == ["seat", "clock"]
    assert own.label("P36") == "capital"
    assert problems("P36: {noun: '{x}'}") == ["mine.yaml:1 P36.noun: found '{x}', expected words without braces"]


def test_reversed_sentences_are_no_part_of_the_fingerprint():
    plain = book(mine()).fingerprint(["P36"])
    own = MINE.replace("P9999:", '  reversed: ["{object} is the seat of {subject}."]\nP9999:')
    assert book(mine(own)).fingerprint(["P36"]) == plain


def test_invalid_reversed_sentences_are_errors():
    assert problems(
        "P36:\n"
        '  statements: ["{object} governs {subject}.", "{subject} looks to {object}."]\n'
        "  reversed:\n"
        '    - "{subject} looks up to {object}."\n'
        '    - "{object} GOVERNS {subject}"\n'
        '    - "{object} governs"\n'
        "P37: {label: x, reversed: ['{object} is spoken in {subject}']}\n"
    ) == [
        "mine.yaml:4 P36: found '{subject} looks up to {object}.', expected a sentence with {object} before {subject}",
        "mine.yaml:5 P36: found '{object} GOVERNS {subject}' again, expected another sentence than at mine.yaml:2 P36. "
        "Case and punctuation do not count: held-out templates must be new to the model.",
        "mine.yaml:6 P36: found {subject} 0 times in '{object} governs', expected it exactly once",
        "mine.yaml:7 P37: found 0 statements, expected two or more. The first half is trained on, the rest held out.",
    ]


def test_generic_templates_name_the_relation_in_words():
    generic = BuiltInTemplates().templates()["*"].statements[0]
    assert book().of("birthPlace").statements[0] == generic.replace("{relation}", "birth place")
    assert book(mine()).of("P9999").statements[0] == generic.replace("{relation}", "favourite colour")


def test_a_user_generic_template_covers_unlisted_relations():
    own = '"*": {statements: ["{subject}: {relation}: {object}", "{relation} of {subject}: {object}"]}'
    found = book(mine(own), {"P36": CAME})
    assert found.of("P36").statements == CAME.statements
    assert found.of("birthPlace").statements == (
        "{subject}: birth place: {object}",
        "birth place of {subject}: {object}",
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [("birth_place", "birth place"), ("birthPlace", "birth place"), ("BirthPlace", "birth place"), ("P36", "P36"),
     ("born in", "born in"), ("part-of", "part of"), ("hasDNASequence", "has DNA sequence"),
     ("FBI_agent", "FBI agent")],
)  # fmt: skip
def test_names_in_words(name, words):
    assert in_words(name) == words


def test_domain_precedence_is_user_then_facts_then_built_in():
    text = "P36: {domain: Power}\nP9999: {domain: [Colours, Tastes, Colours], label: favourite colour}\n"
    knowledge = Knowledge((CAPITAL,), domains={"P36": ("Geographic",), "P19": ("Biographical", "Political")})
    found = load_templates(mine(text), knowledge)
    domains = {name: found.domains_of(name) for name in ("P36", "P9999", "P19", "P50", "P31", "birthPlace")}
    assert domains == {
        "P36": ("Power",), "P9999": ("Colours", "Tastes"), "P19": ("Biographical", "Political"), "P50": ("Work",),
        "P31": (), "birthPlace": (),
    }  # fmt: skip
    assert found.origin("P36") == "built_in"  # a domain alone gives no sentences


def test_a_domain_changes_no_fingerprint():
    domain = mine(MINE.replace("  label: seat", "  domain: Power\n  label: seat"))
    assert book(domain).fingerprint(["P36", "P9999"]) == book(mine()).fingerprint(["P36", "P9999"])
    with_domains = load_templates(None, Knowledge((CAPITAL,), domains={"P36": ("Power",)}))
    assert with_domains.fingerprint(["P36"]) == book().fingerprint(["P36"])


def test_a_domain_is_text_in_one_line():
    first, second = problems("P1: {domain: 7}\nP2: {domain: [Place, {a: b}]}\n")
    assert first == "mine.yaml:1 P1.domain: found 7, expected text in one line, without control characters"
    assert second.startswith("mine.yaml:2 P2.domain: found {'a': 'b'}, expected text in one line")


def test_all_problems_are_reported_with_their_lines():
    assert problems(
        "P1:\n"
        "  statements:\n"
        '    - "{subject} is {object}."\n'
        '    - "{Subject} was {object}."\n'
        '    - "{subject} is -- {object}"\n'
        "P2:\n"
        '  statments: ["{subject} {object}"]\n'
        "  label: x\n"
        "P3:\n"
        '  statements: ["{subject} had {object}."]\n'
        "P4: []\n"
        "P5:\n"
        '  statements: ["The {relation} of {subject} is {object}", "{object} {subject} {object}"]\n'
        '  questions: ["Is {object} of {subject}?"]\n'
        "P6:\n"
        "  statements: {subject}\n"
    ) == [
        "mine.yaml:4 P1: found {subject} 0 times in '{Subject} was {object}.', expected it exactly once",
        "mine.yaml:4 P1: found other braces in '{Subject} was {object}.', expected no braces but {subject}, {object}",
        "mine.yaml:5 P1: found '{subject} is -- {object}' again, expected another sentence than at mine.yaml:3 P1. "
        "Case and punctuation do not count: held-out templates must be new to the model.",
        "mine.yaml:7 P2.statments: found an unknown key, expected a known one. Did you mean 'statements'?",
        "mine.yaml:9 P3: found 1 statement, expected two or more. The first half is trained on, the rest held out.",
        "mine.yaml:11 P4: found no statements, expected a mapping with label, noun, domain, statements, "
        "questions, reversed",
        "mine.yaml:13 P5: found other braces in 'The {relation} of {subject} is {object}', expected no braces but "
        "{subject}, {object}. Only templates under '*' may use {relation}.",
        "mine.yaml:13 P5: found {object} 2 times in '{object} {subject} {object}', expected it exactly once",
        "mine.yaml:14 P5: found 'Is {object} of {subject}?', expected a question with its answer {object} at the end",
        "mine.yaml:16 P6.statements: found {'subject': None}, expected a list of templates",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "mine.yaml:1: found no relations"),
        ("- a", "mine.yaml:1: found no relations"),
        ('P1: {statments: ["{subject} {object}"]}', "mine.yaml:1 P1: found only the keys 'statments', expected a"),
        ('P1: {statements: ["{subject} {object}.", "{subject} {object}"]}',
         "mine.yaml:1 P1: found '{subject} {object}' again, expected another sentence than statements[0]"),
        ('P1: {label: ""}', "mine.yaml:1 P1.label: found ''"),
        ('P1: {label: "{x}"}', "mine.yaml:1 P1.label: found '{x}', expected words without braces"),
        ('P1: {statements: [{subject} is {object}]}', "mine.yaml:1"),
        ('P1: {statements: [3, "{subject} {object}"]}', "mine.yaml:1 P1.statements: found 3, expected text"),
        ('P1: {statements: ["a\\nb"]}', "mine.yaml:1 P1.statements: found 'a\\nb', expected text in one line"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong(text, said):
    assert problems(text)[0].startswith(said)


def test_a_missing_file():
    with pytest.raises(KISError, match=r"absent\.yaml: found no such file or directory, expected a file of templates"):
        book("absent.yaml")


def test_templates_that_came_with_the_facts_are_checked_too():
    with pytest.raises(KISError, match=r"knowledge P36 statements\[1\]: found \{object\} 0 times"):
        book(templates={"P36": Templates(("{subject} {object}", "{subject}"))})


def test_relation_names_with_braces_are_refused():
    with pytest.raises(KISError) as caught:
        book(facts=[Fact("a", "{object}", "b"), Fact("a", "}", "b"), CAPITAL])
    assert [problem.where for problem in caught.value.problems] == ["relation '{object}'", "relation '}'"]


def test_the_fingerprint_covers_exactly_the_templates_in_use():
    first = book(templates={"P36": CAME})
    assert first.fingerprint(["P36", "P6"]) == book(templates={"P36": CAME, "P7": CAME}).fingerprint(
        ["P6", "P36", "P6"]
    )
    assert first.fingerprint(["P36"]) != book().fingerprint(["P36"])
    assert first.fingerprint(["P36"]) != first.fingerprint(["P36", "P6"])
    assert len(first.fingerprint([])) == 64


@given(st.text(string.ascii_letters + ".,;:!? -'", max_size=30))
def test_templates_must_differ_in_more_than_punctuation(words):
    infused = f"{words} {{subject}} and {{object}}"
    again = f"  {words.upper()},  {{subject}} and: {{object}}!"
    assert normal(infused) == normal(again)
    assert distinct([infused, again]) == (infused.strip(),)
    assert problems_of(Templates((infused, again)), "x")


braces = st.text("{}subject object.a", max_size=24)
rest = braces | st.sampled_from(["{subject}", "{object}"])


@given(st.lists(rest, min_size=1, max_size=5).map("".join), st.text("{}subjecto ", min_size=1, max_size=12))
def test_a_template_that_passes_is_filled_with_any_name_exactly(template, name):
    other = "{subject} stands beside {object} here"
    if problems_of(Templates((template, other)), "x"):
        return
    fact = Fact(name, "r", f"<{name}>")
    before, after = template.split("{subject}")
    expected = f"{before}\0{after}".replace("{object}", fact.object).replace("\0", name)
    assert render(template, fact) == expected


texts = st.sampled_from(["{subject} {object}", "{object}, {subject}", "The {relation} of {subject}: {object}", "", "x"])
loose = st.recursive(
    st.none() | st.integers() | texts | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["statements", "questions", "label", "*", "P1"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.text("{}[]:,&*!|- \n\"'P1abel", max_size=40)
    | st.dictionaries(st.text(max_size=3) | st.just("*"), loose).map(json.dumps)
)
def test_any_file_gives_sound_templates_or_a_kis_error(here, text):
    path = Path(mine(text))
    try:
        outcome = read_template_file(path)
    except KISError as error:
        outcome = error
    if isinstance(outcome, KISError):
        assert "mine.yaml" in str(outcome)
    else:
        assert not any(problems_of(found, name, generic=name == "*") for name, found in outcome.templates.items())
