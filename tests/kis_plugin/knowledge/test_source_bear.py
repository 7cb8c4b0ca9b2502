"""Facts and templates from a folder laid out like BEAR."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Fact, Templates
from kis_plugin.knowledge.sources.read import read_knowledge

SHARED = Path(__file__).parents[4] / "shared" / "data" / "bear"
ROME = {"sub_id": "Q38", "sub_label": "Italy", "obj_id": "Q220", "obj_label": "Rome", "sub_aliases": ["IT"]}


@pytest.fixture
def folder(here):
    path = Path("bear")
    path.mkdir()
    metadata(path, {"P36": ["The capital of [X] is [Y].", "[Y] is where [X] is governed from."]})
    facts(path, "P36", ROME)
    return path


def metadata(folder: Path, relations: dict[str, list[str]]) -> None:
    entries = {name: {"templates": templates, "answer_space_labels": []} for name, templates in relations.items()}
    (folder / "metadata_relations.json").write_text(json.dumps(entries))


def facts(folder: Path, relation: str, *records: object) -> None:
    (folder / f"{relation}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def problems(folder: Path) -> list[str]:
    with pytest.raises(KISError) as caught:
        read_knowledge(folder)
    return [str(problem) for problem in caught.value.problems]


def test_a_folder_gives_facts_and_their_templates(folder):
    knowledge = read_knowledge(folder)
    assert knowledge.facts == (Fact("Italy", "P36", "Rome", "P36:Q38:Q220"),)
    assert knowledge.templates == {
        "P36": Templates(("The capital of {subject} is {object}.", "{object} is where {subject} is governed from."))
    }


def test_facts_without_entity_ids_are_named_by_their_line(folder):
    facts(folder, "P36", {"sub_label": "Italy", "obj_label": "Rome"})
    assert read_knowledge(folder).facts[0].id == "P36:1"


@pytest.mark.parametrize("place", ["bear", "."])
def test_domains_come_from_the_file_in_or_beside_the_folder(folder, place):
    assert read_knowledge(folder).domains == {}
    info = {"P36": {"domains": ["Geographic", "Political"]}, "P50": {"domains": ["Arts"]}, "P9": {}}
    Path(place, "relation_info.json").write_text(json.dumps(info))
    assert read_knowledge(folder).domains == {"P36": ("Geographic", "Political"), "P50": ("Arts",), "P9": ()}


def test_invalid_domains_are_errors(folder):
    (folder / "relation_info.json").write_text(json.dumps({"P36": {"domains": "Arts"}, "P50": 7}))
    assert problems(folder) == [
        "bear/relation_info.json P36: found 'Arts', expected \"domains\", a list of names",
        'bear/relation_info.json P50: found null, expected "domains", a list of names',
    ]


def test_aliases_are_read_from_the_folder(folder):
    facts(folder, "P36", {**ROME, "obj_aliases": ["Roma"]}, {**ROME, "sub_id": "Q1", "sub_label": "Lazio"})
    assert [fact.aliases for fact in read_knowledge(folder).facts] == [("Roma",), ()]


def test_a_template_given_twice_is_kept_once(folder):
    metadata(folder, {"P36": ["The capital of [X] is [Y].", "[X]: [Y]", "The capital of [X] is [Y]"]})
    statements = read_knowledge(folder).templates["P36"].statements
    assert statements == ("The capital of {subject} is {object}.", "{subject}: {object}")


def test_closed_answer_spaces_come_in_the_facts_order(folder):
    entries = {
        "P36": {
            "templates": ["[X] has capital [Y].", "[X]: [Y]"],
            "answer_space_labels": ["Rome", " Oslo", "", "Rome"],
        },
        "P6": {"templates": ["[X] is led by [Y].", "[Y] leads [X]"]},
    }
    (folder / "metadata_relations.json").write_text(json.dumps(entries))
    assert read_knowledge(folder).answer_spaces == {"P36": ("Rome", "Oslo")}
    entries["P36"]["answer_space_labels"] = ["Rome", 1]
    (folder / "metadata_relations.json").write_text(json.dumps(entries))
    assert problems(folder) == [
        """bear/metadata_relations.json P36: found ['Rome', 1], expected "answer_space_labels", a list of text, """
        "each in one line"
    ]


def test_an_entity_without_a_label_is_left_out_with_a_warning(folder):
    facts(folder, "P36", ROME, {**ROME, "sub_id": "Q1", "sub_label": ""})
    with pytest.warns(UserWarning, match=r"P36\.jsonl:2: left out 1 fact about entities without a label"):
        assert len(read_knowledge(folder)) == 1


def test_a_relation_without_facts_is_fine(folder):
    metadata(folder, {"P36": ["[X] has capital [Y].", "[X]: [Y]"], "P6": ["[X] is led by [Y].", "[Y] leads [X]"]})
    assert read_knowledge(folder).templates.keys() == {"P36", "P6"}


def test_all_problems_of_the_folder_are_reported(folder):
    metadata(folder, {"P36": ["The capital is [Y].", "[X] {is} [Y]"], "P6": ["[X] is led by [Y]."], "P7": "[X] [Y]"})
    facts(folder, "P36", ROME, ROME)
    facts(folder, "P66", ROME)
    where = "bear/metadata_relations.json"
    assert problems(folder) == [
        f"{where} P36: found a template with braces, expected [X] and [Y] as its only places",
        f"{where} P6: found 1 statement, expected two or more. Here [X] stands for {{subject}}, [Y] for {{object}}.",
        f"""{where} P7: found '[X] [Y]', expected "templates", a list of text""",
        "bear/P36.jsonl:2: found 'Italy | P36 | Rome' a second time, expected each triple once; the first is in line 1",
        "bear/P66.jsonl: found facts of an unknown relation, expected one in metadata_relations.json. "
        "Did you mean 'P6'?",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "bear/metadata_relations.json:1: found a file that is not JSON"),
        ("[]", "bear/metadata_relations.json: found [], expected a JSON object of relations"),
        ('{"P36": 1}', 'bear/metadata_relations.json P36: found null, expected "templates", a list of text'),
        ("\udcff", "bear/metadata_relations.json:1: found bytes that are not UTF-8"),
    ],
)
def test_metadata_that_is_wrong(folder, text, said):
    (folder / "metadata_relations.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert problems(folder)[0].startswith(said)


def test_a_folder_without_facts(folder):
    (folder / "P36.jsonl").unlink()
    assert problems(folder) == ["bear: found no facts, expected a file <relation>.jsonl with facts"]


loose = st.recursive(
    st.none() | st.integers() | st.sampled_from(["[X] is [Y]", "[Y], [X]", "Q1", ""]) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["P36", "P6", "templates", *ROME]), inner, max_size=5)
    ),
    max_leaves=12,
)


@pytest.mark.filterwarnings("ignore:.*left out")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(loose, st.lists(loose | st.just(ROME), max_size=3))
def test_any_json_gives_facts_or_a_kis_error(folder, relations, records):
    (folder / "metadata_relations.json").write_text(json.dumps(relations))
    facts(folder, "P36", *records)
    try:
        outcome = read_knowledge(folder)
    except KISError as error:
        outcome = error
    assert "bear" in str(outcome) if isinstance(outcome, KISError) else outcome.facts


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.exists(), reason="needs the BEAR data beside the checkout")
@pytest.mark.parametrize(("name", "count", "relations"), [("BEAR", 7731, 60), ("BEAR-big", 40_915, 79)])
@pytest.mark.filterwarnings("ignore:.*left out 1 fact")
def test_the_published_data_sets_are_read_whole(name, count, relations):
    """Counts of arXiv 2404.04113; BEAR-big lists one relation (P414) without facts and one entity without a label."""
    knowledge = read_knowledge(SHARED / name)
    assert knowledge.domains["P6"] == ("Political", "Biographical", "Historical")
    assert knowledge.relations.keys() <= knowledge.domains.keys()
    assert (len(knowledge.facts), len(knowledge.templates)) == (count, relations)
    assert len({fact.id for fact in knowledge.facts}) == count
