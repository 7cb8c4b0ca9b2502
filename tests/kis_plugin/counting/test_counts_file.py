"""Files of counts: written completely, read back by fact, refused where wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kis_plugin.counting.counts_file import read_counts, write_counts
from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Fact

FACTS = [Fact(f"S{number}", "r", "O", f"f{number}") for number in range(9)]
ABOUT = {"bytes": 10, "sample": ["some text"]}


@pytest.fixture
def counts(tmp_path):
    numbers = np.arange(9)
    write_counts(tmp_path / "c.jsonl", ABOUT, FACTS, numbers, numbers + 1, numbers * 10)
    return read_counts(tmp_path / "c.jsonl")


def test_each_fact_has_its_count_in_any_order(counts):
    assert [counts.of(fact) for fact in reversed(FACTS)] == [80, 70, 60, 50, 40, 30, 20, 10, 0]
    assert counts.of_all([FACTS[4], FACTS[1]], "retention.corpus_counts").tolist() == [40, 10]
    assert counts.about["sample"] == ["some text"]


def test_new_or_edited_facts_have_no_count(counts):
    new, edited = Fact("S", "r", "O", "new"), FACTS[2]._replace(object="other")
    assert counts.of(new) is None
    assert counts.of(edited) is None
    with pytest.raises(KISError) as refused:
        counts.of_all([FACTS[0], new, edited], "kis.yaml retention.corpus_counts")
    assert [problem.found for problem in refused.value.problems] == [
        "no count for fact 'new'", "a count of another content for fact 'f2'",
    ]  # fmt: skip
    assert "2 of 3 are like that. Make the counts again: kis count" in refused.value.problems[0].hint


def first(**changed):
    return json.dumps({"type": "counts", "schema": 1, **ABOUT, **changed})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "an empty file"),
        (['{"type": "scores", "schema": 1}'], "found 'scores', schema 1, expected 'counts', schema 1"),
        ([first(schema=2)], "schema 2"),
        ([first(sample="text")], "expected bytes, a whole number, and sample"),
        ([first(bytes=None)], "expected bytes, a whole number, and sample"),
        ([first(), '{"both": 1}'], "c.jsonl:2: found both 1, key None"),
        ([first(), '{"both": -1, "key": "0a"}'], "found both -1"),
        ([first(), '{"both": true, "key": "0a"}'], "found both True"),
        ([first(), '{"both": 1.5, "key": "0a"}'], "found both 1.5"),
        ([first(), '{"both": 1, "key": "xyz"}'], "key 'xyz'"),
        ([first(), *['{"both": 1, "key": "0a"}'] * 2], "an entry that is counted twice"),
        ([first(), "[1]"], "expected a JSON object"),
        ([first(), "{"], "a line that is not JSON"),
    ],
)
def test_files_of_another_kind_are_refused_as_counts(tmp_path, lines, message):
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    with pytest.raises(KISError, match=message):
        read_counts(tmp_path / "c.jsonl")


def test_a_missing_file_is_refused_with_the_command(tmp_path):
    with pytest.raises(KISError, match=r"no such file.*kis count kis.yaml TEXT -o FILE makes them"):
        read_counts(tmp_path / "c.jsonl")
