"""What a run infuses: the split, the selection, and that large knowledge gives what small knowledge does."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from kis_plugin import registry
from kis_plugin.config.load import config_from
from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Knowledge, Passage
from kis_plugin.knowledge.store import load as store
from kis_plugin.knowledge.store.tables import FactTable
from kis_plugin.tokenized.infusion_split import InfusionSplit, load_split, prepare_split

pytestmark = pytest.mark.usefixtures("here")


@dataclass(frozen=True)
class Every:
    """Every so manieth."""

    step: int = 2
    name: str = "every"

    def select(self, entries, seed):
        return np.arange(0, len(entries), self.step)


@dataclass(frozen=True)
class Backwards:
    name: str = "backwards"

    def select(self, entries, seed):
        return np.arange(len(entries))[::-1]


@pytest.fixture(autouse=True)
def selections(monkeypatch):
    known = registry.registered("selections")
    for one in (Every(), Backwards()):
        monkeypatch.setitem(known, one.name, one)


def facts(count=200, name="facts.jsonl", **more):
    lines = [{"subject": f"s{n}", "relation": f"P{n % 2}", "object": f"o{n % 11}", **more} for n in range(count)]
    Path(name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def load(cache="cache", knowledge="facts.jsonl", **infusion):
    config = {"knowledge": knowledge, "cache": cache, "infusion": infusion, "retention": {"control": 20}}
    return load_split(config_from(config))


@pytest.fixture
def large(monkeypatch):
    monkeypatch.setattr(store, "LARGE", 0)


def same(one, other):
    assert tuple(one.knowledge.facts) == tuple(other.knowledge.facts)
    for name in ("infused", "control", "passages_infused"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
    assert list(one.facts) == list(other.facts)
    assert (one.fingerprint, one.relations) == (other.fingerprint, other.relations)


@pytest.mark.parametrize("more", [{}, {"until": 0.5, "replaced_by": "x"}])
@pytest.mark.parametrize("infusion", [{}, {"selection": {"name": "every", "step": 3}}])
def test_large_knowledge_gives_what_small_knowledge_does(monkeypatch, infusion, more):
    facts(**more)
    small = load(**infusion)
    assert small.cache is None
    monkeypatch.setattr(store, "LARGE", 0)
    load_split.__globals__["_load"].cache_clear()
    large = load(**infusion)
    assert large.cache == Path("cache")
    assert isinstance(large.knowledge.facts, FactTable)
    same(small, large)
    if more:
        assert [column.tolist() for column in small.changing] == [column.tolist() for column in large.changing]
    else:
        assert small.changing is large.changing is None
    load_split.__globals__["_load"].cache_clear()
    same(small, load(**infusion))


def test_selected_are_those_that_are_no_controls():
    facts()
    everything, some = load(), load(selection="every")
    assert some.control.tolist() == everything.control.tolist()
    assert some.infused.tolist() == everything.infused[::2].tolist()
    assert set(some.infused.tolist()).isdisjoint(some.control.tolist())


def test_options_of_a_selection_make_another_split(large):
    facts()
    assert len(load(selection="every").infused) == 90
    assert len(load(selection={"name": "every", "step": 3}).infused) == 60


def test_passages_are_selected_too():
    Path("d.jsonl").write_text("".join(json.dumps({"text": f"Text {n}."}) + "\n" for n in range(10)))
    split = load(knowledge="d.jsonl", selection={"name": "every", "step": 4})
    assert split.passages_infused.tolist() == [0, 4, 8]
    assert [passage.text for passage in split.passages] == ["Text 0.", "Text 4.", "Text 8."]


def test_a_selection_that_is_out_of_order_is_refused():
    facts()
    with pytest.raises(KISError, match=r"infusion.selection: found other numbers from backwards, expected places in"):
        load(selection="backwards")


def test_an_edited_file_is_read_again_and_another_is_not():
    facts()
    first = load()
    assert load() is first
    facts(199)
    os.utime("facts.jsonl", (1, 1))
    assert len(load().knowledge.facts) == 199


def test_what_is_left_out_is_worked_out():
    knowledge = Knowledge(passages=(Passage("a", "1"), Passage("b", "2")))
    split = InfusionSplit(knowledge, None, np.arange(0), np.arange(0))
    assert split.passages_infused.tolist() == [0, 1]
    assert split.fingerprint == InfusionSplit(knowledge, None, np.arange(0), np.arange(0)).fingerprint
    assert split.cache is None


def test_preparing_goes_through_the_cache_and_a_start_finds_it():
    facts()
    infused_facts = []
    config = config_from({"knowledge": "facts.jsonl", "cache": "cache", "retention": {"control": 20}})
    made = prepare_split(config, lambda what, count: infused_facts.append((what, count)))
    assert ("entries", 200) in infused_facts
    same(made, load_split(config))
    assert load_split(config).cache == Path("cache")
