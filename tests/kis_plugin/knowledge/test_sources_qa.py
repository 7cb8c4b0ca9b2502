"""The user's own questions: what is read, and what is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kis_plugin.errors import KISError
from kis_plugin.knowledge.sources.qa import UserQuestion, read_qa

pytestmark = pytest.mark.usefixtures("here")

PUMP = {"question": "Which seal has the P7?", "answer": "Viton"}


def write(name: str, *records: object) -> Path:
    path = Path(name)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(KISError) as caught:
        read_qa(path)
    return [str(problem) for problem in caught.value.problems]


def test_lists_in_jsonl_and_bars_in_tables():
    expected = UserQuestion("Which seal has the P7?", "Viton", ("FKM", "viton rubber"), ("EPDM", "NBR"), "pumps")
    record = {**PUMP, "aliases": ["FKM", "viton rubber"], "options": ["EPDM", "NBR"], "topic": "pumps", "note": 3}
    assert read_qa(write("qa.jsonl", record, {"question": "Who? ", "answer": "Ada"})) == (
        expected,
        UserQuestion("Who?", "Ada"),
    )
    for name, comma in (("qa.csv", ","), ("qa.tsv", "\t")):
        rows = [
            ["Question", "answer", "aliases", "options", "topic"],
            ["Which seal has the P7?", "Viton", "FKM|viton rubber", "EPDM | NBR", "pumps"],
            ["Who?", "Ada", "", "", ""],
        ]
        Path(name).write_text("".join(comma.join(row) + "\n" for row in rows))
        assert read_qa(Path(name)) == (expected, UserQuestion("Who?", "Ada"))


def test_questions_come_from_every_kind_of_table():
    expected = (UserQuestion(**PUMP, aliases=("FKM",)), UserQuestion("Who?", "Ada"))
    records = [{**PUMP, "aliases": ["FKM"]}, {"question": "Who?", "answer": "Ada"}]
    Path("qa.json").write_text(json.dumps(records))
    assert read_qa(Path("qa.json")) == expected
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(records), "qa.parquet")  # a missing list is null there
    assert read_qa(Path("qa.parquet")) == expected


def test_all_problems_of_the_file_are_reported():
    path = write(
        "qa.jsonl",
        PUMP,
        {"question": "Who?"},
        {"question": 7, "answer": " "},
        {**PUMP, "answer": "a\nb"},
        {"question": "A?", "answer": "Ada", "aliases": ["Lady"], "options": ["lady", "Bob"]},
        {"question": "B?", "answer": "Ada", "options": "Bob", "topic": []},
        ["a"],
        PUMP,
    )
    assert problems(path) == [
        "qa.jsonl:2 answer: found only the keys 'question', expected the key 'answer'",
        "qa.jsonl:3 question: found 7, expected text. Put it in quotes.",
        "qa.jsonl:3 answer: found an empty value, expected text",
        "qa.jsonl:4 answer: found 'a\\nb', expected text in one line, without control characters",
        "qa.jsonl:5 options: found 'lady', which is right, expected wrong answers alone",
        "qa.jsonl:6 topic: found [], expected text",
        "qa.jsonl:6 options: found 'Bob', expected a list of text",
        "qa.jsonl:7: found ['a'], expected one JSON object a line",
        "qa.jsonl:8: found 'Which seal has the P7?' a second time, expected each question once; the first is in line 1",
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("qa.csv", "question|answer\n", "qa.csv:1 question: found only the columns 'question|answer'"),
        ("qa.csv", "question,answer\nWho?\n", "qa.csv:2: found 1 columns, expected 2"),
        ("qa.jsonl", "", "qa.jsonl: found no questions, expected a question and an answer in each record"),
        (
            "qa.txt",
            "Who?",
            "qa.txt: found a file .txt, expected questions as JSONL, JSON, CSV, TSV, Parquet or a saved dataset",
        ),
    ],
)
def test_a_file_that_is_wrong(name, content, said):
    Path(name).write_text(content)
    assert problems(Path(name))[0].startswith(said)


def test_a_folder_is_not_a_file_of_questions():
    Path("qa.jsonl").mkdir()
    assert problems(Path("qa.jsonl"))[0].startswith("qa.jsonl: found a folder")
