"""``selection: uncounted``: the facts that the base text hardly states."""

from __future__ import annotations

import numpy as np
import pytest

from kis_plugin.config.load import config_from
from kis_plugin.counting.counts_file import write_counts
from kis_plugin.counting.uncounted import Uncounted
from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Fact, Passage
from kis_plugin.tokenized.infusion_split import load_split
from tests.world.facts import kis, people, write_facts

FACTS = [Fact(f"S{number}", "r", "O", f"f{number}") for number in range(5)]


def counts_of(folder, facts, numbers):
    both = np.array(numbers)
    write_counts(folder / "counts.jsonl", {"bytes": 10, "sample": ["some text"]}, facts, both, both, both)
    return folder / "counts.jsonl"


@pytest.mark.parametrize(("below", "kept"), [(1, [0, 3]), (2, [0, 2, 3]), (10, [0, 2, 3, 4]), (100, [0, 1, 2, 3, 4])])
def test_facts_below_the_limit_are_selected(tmp_path, below, kept):
    path = counts_of(tmp_path, FACTS, [0, 50, 1, 0, 9])
    assert Uncounted(path, below).select(FACTS, 0).tolist() == kept


def test_passages_are_all_selected(tmp_path):
    path = counts_of(tmp_path, FACTS, [0, 50, 1, 0, 9])
    passages = [Passage("Some text.", "p1"), Passage("Other text.", "p2")]
    assert Uncounted(path).select(passages, 0).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("facts", "numbers", "below", "message"),
    [
        (FACTS, [3, 50, 2, 4, 9], 2, "all 5 facts stand in 2 windows or more"),
        (FACTS[:4], [0, 0, 0, 0], 1, "no count for fact 'f4'"),
        ([*FACTS[:4], FACTS[4]._replace(object="X")], [0] * 5, 1, "another content for fact 'f4'"),
    ],
)
def test_counts_that_select_nothing_or_are_not_those_of_the_facts_are_refused(tmp_path, facts, numbers, below, message):
    with pytest.raises(KISError, match=message):
        Uncounted(counts_of(tmp_path, facts, numbers), below).select(FACTS, 0)


@pytest.mark.parametrize("below", [0, -1, 1.5, True, "3"])
def test_a_limit_that_is_no_whole_number_is_refused(below):
    with pytest.raises(ValueError, match="whole number"):
        Uncounted(None, below)


def test_a_configuration_infuses_what_the_text_does_not_state(tmp_path):
    write_facts(tmp_path)
    facts = [Fact(one["subject"], one["relation"], one["object"]) for one in people()]
    loaded = load_split(config_from(kis(tmp_path))).knowledge.facts
    path = counts_of(tmp_path, list(loaded), [number % 3 for number in range(len(facts))])
    selection = {"name": "uncounted", "counts": str(path), "below": 2}
    split = load_split(config_from(kis(tmp_path, infusion={"selection": selection})))
    assert {index % 3 for index in split.infused.tolist()} == {0, 1}
    assert len(split.infused) + len(split.control) < len(facts)


def test_without_a_file_the_command_that_makes_it_is_named(tmp_path):
    with pytest.raises(KISError, match="kis count"):
        Uncounted().select(FACTS, 0)
