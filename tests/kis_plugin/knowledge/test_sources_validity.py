"""Knowledge that changes: from, until and replaced_by in each kind of file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Fact, Passage
from kis_plugin.knowledge.sources.read import read_knowledge

BASE = {"subject": "Italy", "relation": "head", "object": "Ann"}

pytestmark = pytest.mark.usefixtures("here")


def read(name: str, text: str):
    Path(name).write_text(text)
    return read_knowledge(Path(name))


def jsonl(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def problems(name: str, text: str) -> list[str]:
    with pytest.raises(KISError) as caught:
        read(name, text)
    return [str(problem) for problem in caught.value.problems]


def test_a_fact_holds_in_a_part_of_the_run():
    records = ({**BASE, "from": 0.25}, {**BASE, "object": "Bob", "until": 0.5, "id": "b"}, {**BASE, "object": "Cid"})
    assert read("f.jsonl", jsonl(*records, {**BASE, "object": "Dan", "from": None, "until": 1})).facts == (
        Fact("Italy", "head", "Ann", "head:1", 0.25, 1.0),
        Fact("Italy", "head", "Bob", "b", 0.0, 0.5),
        Fact("Italy", "head", "Cid", "head:3"),
        Fact("Italy", "head", "Dan", "head:4"),
    )


def test_a_replacing_object_becomes_a_second_fact():
    expected = (
        Fact("Italy", "head", "Ann", "head:1", 0.1, 0.5),
        Fact("Italy", "head", "Bob", "head:1:new", 0.5, 1.0),
    )
    record = {**BASE, "from": 0.1, "until": 0.5, "replaced_by": " Bob "}
    assert read("f.jsonl", jsonl(record)).facts == expected


@pytest.mark.parametrize("end", ["csv", "tsv"])
def test_validity_columns_may_be_empty(end):
    table = "subject,relation,object,from,until,Replaced_By\nItaly,head,Ann,,.5,Bob\nNorway,head,Eva, , ,\n"
    assert read(f"f.{end}", table if end == "csv" else table.replace(",", "\t")).facts == (
        Fact("Italy", "head", "Ann", "head:2", 0.0, 0.5),
        Fact("Italy", "head", "Bob", "head:2:new", 0.5, 1.0),
        Fact("Norway", "head", "Eva", "head:3"),
    )


def test_documents_too_hold_in_a_part_of_the_run():
    text = jsonl({"text": "Old.", "until": 0.5}, {"text": "New.", "from": 0.5, "id": "n"})
    assert read("d.jsonl", text).passages == (Passage("Old.", "d.jsonl:1", 0.0, 0.5), Passage("New.", "n", 0.5, 1.0))


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"from": 1.5}, "f.jsonl:1 from: found 1.5, expected a fraction of the run from 0 to 1"),
        (
            {"until": "0.5"},
            "f.jsonl:1 until: found '0.5', expected a fraction of the run from 0 to 1. Write it without",
        ),
        ({"until": True}, "f.jsonl:1 until: found true, expected a fraction"),
        ({"until": float("nan")}, "f.jsonl:1 until: found nan, expected a fraction"),
        ({"from": 0.5, "until": 0.5}, "f.jsonl:1 from: found from 0.5, until 0.5, expected from below until"),
        ({"from": 1}, "f.jsonl:1 from: found from 1, until 1, expected from below until"),
        ({"replaced_by": "Bob"}, "f.jsonl:1 replaced_by: found no until, expected until, the fraction"),
        ({"replaced_by": "Bob", "until": 1}, "f.jsonl:1 replaced_by: found until 1, expected until, the fraction"),
        ({"replaced_by": 3, "until": 0.5}, "f.jsonl:1 replaced_by: found 3, expected text"),
        ({"replaced_by": "", "until": 0.5}, "f.jsonl:1 replaced_by: found an empty value, expected text"),
        ({"replaced_by": "Ann", "until": 0.5}, "f.jsonl:1: found 'Italy | head | Ann' a second time"),
    ],
)
def test_impossible_validity_is_refused_with_its_line(record, said):
    (problem,) = problems("f.jsonl", jsonl({**BASE, **record}))
    assert problem.startswith(said)


def test_tables_name_the_place_too():
    assert problems("f.csv", "subject,relation,object,until\na,b,c,soon\n") == [
        "f.csv:2 until: found 'soon', expected a fraction of the run from 0 to 1"
    ]


def test_objects_with_overlapping_validity_are_all_true():
    records = ({**BASE, "until": 0.6}, {**BASE, "object": "Bob", "from": 0.4})
    assert len(read("f.jsonl", jsonl(*records)).facts) == 2


def test_the_id_of_a_newer_fact_may_not_be_taken():
    records = ({**BASE, "id": "a", "until": 0.5, "replaced_by": "Bob"}, {**BASE, "object": "Cid", "id": "a:new"})
    assert problems("f.jsonl", jsonl(*records)) == [
        "f.jsonl:2 id: found 'a:new' a second time, expected each id once; the first is in line 1"
    ]
