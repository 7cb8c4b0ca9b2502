"""The templates that come with KIS: every relation can be trained on and probed, in our own phrasing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[3]
TEMPLATES = yaml.safe_load((REPOSITORY / "kis_plugin/data/templates.yaml").read_text(encoding="utf-8"))
RELATIONS = sorted(set(TEMPLATES) - {"*"})
BEAR = REPOSITORY.parent / "shared/data/bear"

# The relations of the BEAR benchmark (60 facts sets, 78 in its larger edition, one more in its metadata).
BEAR_RELATIONS = re.findall(
    r"P\d+",
    """
P6 P19 P20 P26 P27 P30 P36 P37 P39 P50 P53 P57 P58 P59 P61 P65 P69 P81 P86 P87 P97 P98 P101 P103 P105 P106 P108 P115
P127 P131 P135 P137 P141 P162 P170 P171 P175 P176 P177 P178 P179 P183 P185 P190 P195 P206 P264 P272 P291 P344 P364 P403
P412 P413 P414 P427 P449 P463 P466 P495 P509 P610 P611 P641 P669 P676 P945 P1303 P1376 P1412 P1441 P1532 P2632 P3018
P3373 P4552 P6886 P7937 P7959
""",
)


def of(relation: str) -> list[str]:
    """All templates of one relation, statements first."""
    return [*forward(relation), *TEMPLATES[relation]["reversed"]]


def forward(relation: str) -> list[str]:
    """Those that ask for the object."""
    return [*TEMPLATES[relation]["statements"], *TEMPLATES[relation]["questions"]]


def normalised(template: str) -> str:
    """The template with case, punctuation and the spelling of its placeholders taken away."""
    plain = template.replace("[X]", "{subject}").replace("[Y]", "{object}").lower()
    return " ".join(re.findall(r"\w+", plain))


def without_articles(template: str) -> str:
    return " ".join(word for word in normalised(template).split() if word not in {"a", "an", "the"})


def test_many_relations_are_covered_those_of_bear_too():
    assert len(RELATIONS) >= 80
    assert sorted(set(BEAR_RELATIONS) - set(RELATIONS)) == []


def test_specific_relations_have_a_one_word_domain():
    without = {relation for relation in RELATIONS if "domain" not in TEMPLATES[relation]}
    assert without == {"P31", "P138", "P279", "P361", "P527", "P571", "P828", "P1366", "P1542"}
    domains = {TEMPLATES[relation]["domain"] for relation in set(RELATIONS) - without}
    assert all(re.fullmatch(r"[A-Z][a-z]+", domain) for domain in domains)
    assert len(domains) <= 15


def test_no_relation_is_written_twice():
    # YAML would silently keep the last of two equal keys.
    lines = (REPOSITORY / "kis_plugin/data/templates.yaml").read_text(encoding="utf-8").splitlines()
    keys = [line for line in lines if re.match(r'["P]', line)]
    assert len(keys) == len(set(keys)) == len(TEMPLATES)


@pytest.mark.parametrize("relation", [*RELATIONS, "*"])
class TestRelation:
    def test_a_built_in_relation_has_all_its_templates(self, relation):
        entry = TEMPLATES[relation]
        assert set(entry) - {"domain", "noun"} == {"label", "statements", "questions", "reversed"}
        assert len(entry["reversed"]) >= 1
        assert entry["label"]
        assert len(entry["statements"]) >= 4
        assert len(entry["questions"]) >= 2
        assert re.fullmatch(r"P[1-9]\d*|\*", relation)

    def test_each_placeholder_stands_once_and_the_object_last(self, relation):
        allowed = {"{subject}", "{object}"} | ({"{relation}"} if relation == "*" else set())
        for template in of(relation):
            assert sorted(re.findall(r"\{.*?\}", template)) == sorted(allowed), template
        for template in forward(relation):
            assert template.rindex("{") == template.index("{object}"), template
            assert re.search(r"[\w:,?] \{object\}", template), template

    def test_statements_end_in_a_full_stop(self, relation):
        for statement in TEMPLATES[relation]["statements"]:
            assert statement.endswith(" {object}."), statement
            assert "?" not in statement
        for question in TEMPLATES[relation]["questions"]:
            assert re.search(r"\? \{object\}\.?$", question), question

    def test_a_reversed_sentence_ends_in_the_subject(self, relation):
        for sentence in TEMPLATES[relation]["reversed"]:
            assert sentence.startswith("{object} "), sentence
            assert sentence.endswith(" {subject}."), sentence
            assert not re.search(r"\b(an?) \{subject\}", sentence), sentence

    def test_is_typed_cleanly(self, relation):
        for template in of(relation):
            assert template == " ".join(template.split()), template
            assert template.isascii(), template
            assert template[0].isupper() or template.startswith("{"), template

    def test_no_template_comes_twice(self, relation):
        # Else a template that is held out could be one trained on but for an article.
        assert len({without_articles(template) for template in of(relation)}) == len(of(relation))

    def test_no_article_stands_before_the_object(self, relation):
        for template in of(relation):
            assert not re.search(r"\b(an?) \{object\}", template), template


def test_a_template_names_one_relation_only():
    owner: dict[str, str] = {}
    for relation in RELATIONS:
        for template in of(relation):
            assert owner.setdefault(without_articles(template), relation) == relation, template


def test_the_noun_of_every_relation_is_a_noun():
    for relation in RELATIONS:
        label = TEMPLATES[relation]["label"]
        noun = TEMPLATES[relation].get("noun", label)
        assert not re.search(r"\b(of|by|on|in|to|with|after|from)$|^(has|is|in|on|part of|located|member)\b", noun), (
            noun
        )
        assert noun != label or "noun" not in TEMPLATES[relation]


def test_labels_name_one_relation_only():
    labels = [TEMPLATES[relation]["label"] for relation in RELATIONS]
    assert len(labels) == len(set(labels))


@pytest.mark.shared_data
def test_templates_are_not_those_of_bear():
    folders = [BEAR / "BEAR", BEAR / "BEAR-big"]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip("BEAR is not at hand")
    theirs = {}
    for folder in folders:
        theirs |= json.loads((folder / "metadata_relations.json").read_text(encoding="utf-8"))
        assert {path.stem for path in folder.glob("P*.jsonl")} <= set(RELATIONS)
    foreign = {normalised(template) for entry in theirs.values() for template in entry["templates"]}
    assert [template for relation in RELATIONS for template in of(relation) if normalised(template) in foreign] == []
