"""Counting as From Data to Knowledge counts, against its rules written out here."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

pytest.importorskip("ahocorasick_rs")

from kis_plugin.counting.command import count
from kis_plugin.counting.name_rules import lowered
from kis_plugin.errors import KISError

FACTS = [
    ("United States of America", "Washington, D.C."),
    ("Alexander Hamilton", "United States of America"),
    ("Limpopo River", "Africa"),
    ("US", "Iran"),
    ("Nepal", "Oli"),
    ("Österreich", "Wien"),
    ("İzmir", "Türkiye"),
]
ALIASES = {
    "United States of America": ["US", "U.S.", "America"],
    "Limpopo River": {"aliases": ["Limpopo"], "label": "ignored"},
    "Africa": ["the continent"],
}
SENTENCES = [
    "the UNITED STATES OF AMERICA has its capital in washington, d.c. today",
    "ALEXANDER HAMILTON wrote to us about it",  # us is no US
    "Alexander hamilton lived in the US",
    "Alexander Hamilton lived in America, in America and in america",  # one sentence counts once
    "Alexander Hamilton read the U.S.A. today",  # neither U.S. nor US
    "limpopo flows in AFRICA and Limpopos do not",
    "The Limpopo River crosses The Continent",
    "US and IRAN met",  # four characters: an object as written
    "US and Iran met",
    "us and Iran met",  # two: a subject as written
    "nepal elected Oli",
    "Nepal elected OLI",
    "ÖSTERREICH nennt Wien seine Hauptstadt",
    "österreich nennt wien nicht",
    "İzmir liegt in der TÜRKIYE",
    "The Limpopo_River is no word and Africa1 neither",
]


def in_sentence(word, sentence, ignore_case):
    """``word_in_sentence`` of the paper's code."""
    pattern = rf"(?<!\w)({re.escape(word)})(?!\w)"
    return bool(re.search(pattern, sentence, re.IGNORECASE if ignore_case else 0))


def names_of(name):
    others = ALIASES.get(name, [])
    return [name, *(others["aliases"] if isinstance(others, dict) else others)]


def expected(subject, obj, sentence):
    """Whether the sentence counts: a subject of 4 characters or more and an object of 5 or more without case."""
    return any(in_sentence(name, sentence, len(name) >= 4) for name in names_of(subject)) and any(
        in_sentence(name, sentence, len(name) > 4) for name in names_of(obj)
    )


@pytest.fixture
def here(tmp_path):
    facts = [{"subject": s, "relation": "r", "object": o, "id": f"{n}"} for n, (s, o) in enumerate(FACTS)]
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    (tmp_path / "text.txt").write_text("\n\n".join(SENTENCES), encoding="utf-8")
    (tmp_path / "aliases.json").write_text(json.dumps(ALIASES))
    return tmp_path


def counted(here, *options):
    command = [str(here / "facts.jsonl"), str(here / "text.txt"), "-o", str(here / "c.jsonl"), "--workers", "1"]
    result = CliRunner().invoke(count, [*command, *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    about, *lines = map(json.loads, (here / "c.jsonl").read_text().splitlines())
    return about, [line["both"] for line in lines]


def test_counts_are_those_of_the_papers_rules(here):
    about, both = counted(here, "--names", "from-data-to-knowledge", "--aliases", str(here / "aliases.json"))
    assert about["name_rules"] == "from-data-to-knowledge"
    assert both == [sum(expected(s, o, sentence) for sentence in SENTENCES) for s, o in FACTS]
    # By hand: 1 is sentence 1; Hamilton 3 and 4; Limpopo 6 and 7; US 9; Nepal 11; Österreich 13; İzmir 15.
    assert both == [1, 2, 2, 1, 1, 1, 1]


def test_without_aliases_names_alone_count(here):
    _, both = counted(here, "--names", "from-data-to-knowledge")
    assert both == [1, 0, 0, 1, 1, 1, 1]


def test_the_default_counts_names_as_written(here):
    about, both = counted(here)
    assert about["name_rules"] == "as-written"
    assert both == [0, 0, 0, 1, 0, 0, 0]
    # America in sentence 4, and U.S. in 5, where a name that ends with a mark may stand before a letter.
    assert counted(here, "--aliases", str(here / "aliases.json"))[1][1] == 2


def test_facts_of_bear_find_aliases_by_their_ids(here):
    fact = {"subject": "Limpopo River", "relation": "r", "object": "Africa", "id": "r:Q173017:Q15"}
    (here / "facts.jsonl").write_text(json.dumps(fact) + "\n")
    (here / "aliases.json").write_text(json.dumps({"Q173017": {"aliases": ["Limpopo"]}, "Q15": ["the continent"]}))
    _, both = counted(here, "--names", "from-data-to-knowledge", "--aliases", str(here / "aliases.json"))
    assert both == [2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "a list, expected an object from names"),
        ("{", "no JSON"),
        ('{"a": "b"}', r"'a'.*expected a list of names"),
        ('{"a": {"aliases": [1]}}', r"'a'.*expected a list of names"),
    ],
)
def test_wrong_aliases_are_refused(here, text, message):
    (here / "aliases.json").write_text(text)
    with pytest.raises(KISError, match=message):
        counted(here, "--aliases", str(here / "aliases.json"))
    assert not (here / "c.jsonl").exists()


def test_the_paper_counts_sentences_only(here):
    with pytest.raises(
        KISError, match="--window: found document, with --names from-data-to-knowledge, expected sentence"
    ):
        counted(here, "--names", "from-data-to-knowledge", "--window", "document")


def test_lower_case_keeps_every_place():
    assert lowered("ÄB İstanbul ΟΔΟΣ") == "äb İstanbul οδοσ"
    assert all(len(lowered(chr(code))) == 1 for code in range(0x3000))
