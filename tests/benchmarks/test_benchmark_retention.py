"""The benchmark of retention without peers: the items are as it says, and KIS passes its own measure."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

pytest.importorskip("transformers")

from benchmarks.retention import main
from benchmarks.scorers import SCORERS
from benchmarks.scorers.cases import KINDS, Case, make_texts, make_tokenizer
from benchmarks.scorers.contest import Turns, figures, installed
from benchmarks.scorers.contract import Item
from benchmarks.scorers.training import chunked


@pytest.fixture(scope="module")
def words():
    return make_tokenizer()


@pytest.mark.parametrize("kind", KINDS)
def test_items_are_reproducible_and_as_requested(kind, words):
    case = Case(kind, 16, 32)
    items = make_texts(case, *words)  # refuses other lengths
    assert items == make_texts(case, *words)
    assert len({item.prefix for item in items}) == 32
    assert all(len(set(item.options)) == 4 for item in items)


def test_prefixes_share_what_their_kind_says(words):
    tokenizer, _ = words
    shared = {}
    for kind in KINDS:
        ids = [tokenizer(item.prefix.rstrip())["input_ids"] for item in make_texts(Case(kind, 16, 32), *words)]
        begins = {tuple(row[: 1 + 16 - 2 - 4]) for row in ids}  # EOS, then all before subject and what follows it
        shared[kind] = (len(begins), len({row[1] for row in ids}))
    assert shared == {"distinct": (32, 32), "template": (8, 8)}  # a template for each relation


def test_sets_of_templates_are_balanced(words):
    items = make_texts(Case("template", 16, 32), *words)
    for first in range(0, 32, 4):
        one_set = items[first : first + 4]
        assert len({item.options for item in one_set}) == 1
        assert [item.answer for item in one_set] == [0, 1, 2, 3]


def test_ratios_are_medians_over_pairs_of_turns():
    logprobs = np.array([[-1.0, -2.0], [-3.0, -1.0]])
    items = [Item("a ", ("b", "c"), 0), Item("d ", ("b", "c"), 0)]
    turns = {
        "KIS": Turns(None, logprobs, 100, 150, seconds=[1.0, 2.0, 4.0], tokenizing=[0.5, 1.0, 2.0]),
        "peer": Turns(4, logprobs + 0.25, 100, 300, seconds=[4.0, 6.0, 20.0], tokenizing=[1.0, 1.0, 1.0]),
        "plain": Turns(None, logprobs, 100),
    }
    found = figures(turns, items)
    assert set(found) == {"KIS", "peer"}  # the reference has no figures
    peer = found["peer"]
    assert (peer.whole, peer.kis_whole, peer.kis_scoring, peer.kis_prepared) == (2 / 6, 4.0, 6.0, 8.0)
    assert (peer.accuracy, peer.other_answers, peer.difference) == (0.5, 0, 0.25)
    assert peer.added == pytest.approx(200 / 1e6)


def test_the_time_of_an_evaluation_is_what_its_step_took_longer():
    ends = np.cumsum([1.0 + 4.0 * (step == 1) + 3.0 * (step in (5, 10)) for step in range(1, 11)])  # the first one slow
    times = chunked([10.0, 17.0, *(17.0 + ends)], frozenset({0, 5, 10}), 40)
    assert times.step == pytest.approx(1.0)
    assert times.evaluations == pytest.approx((7.0, 3.0, 3.0))
    assert times.share == pytest.approx(13.0 / 27.0)
    assert chunked([10.0, 10.5, *(10.5 + ends)], frozenset(), 0).share == 0


@pytest.mark.parametrize("wrong", [["--items", "30"], ["--steps", "10"]])
def test_what_cannot_be_measured_is_refused(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2
    assert f"{wrong[0]}: a" in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_none():
    assert installed(sys.executable, SCORERS["KIS"])
    assert installed("/bin/false", SCORERS["lm-eval"]) is None


@pytest.mark.slow
def test_kis_agrees_with_the_plain_way_in_a_process(capfd, tmp_path):
    few = ["--items", "16", "--repeats", "1", "--threads", "1", "--prefix", "16", "--peers", "/bin/false"]
    assert main(["--only", "scoring", *few, "--json", str(tmp_path / "figures.json")]) == 0
    scoring = json.loads((tmp_path / "figures.json").read_text())["scoring"]
    assert [case["kind"] for case in scoring["cases"]] == list(KINDS)
    for case in scoring["cases"]:
        assert 0 < case["KIS"]["difference"] < 1e-4
        assert case["KIS"]["other_answers"] == 0
        assert case["KIS"]["added"] > 0
    assert "lm-eval: not measured, not installed in /bin/false" in capfd.readouterr().out
