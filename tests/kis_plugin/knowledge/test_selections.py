import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.config.choice import Choice
from kis_plugin.config.options import chosen
from kis_plugin.difference.score_file import Score, entry_key, read_scores, write_scores
from kis_plugin.difference.selection import Difference
from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Fact, Passage
from kis_plugin.knowledge.selections import Everything

GAPS = {"a": 0.30, "b": 0.10, "c": -0.20, "d": 0.25, "e": 0.10}
FACTS = [Fact(f"Person {name}", "born", f"City {name}", name) for name in GAPS]


def scores_of(path, entries, gaps):
    scores = [
        Score(entry.id, 1.0, 1.0 - gap, (9, 9), 30, f"{entry_key(entry):016x}")
        for entry, gap in zip(entries, gaps, strict=True)
    ]
    write_scores(path, {"small": "S", "large": "L"}, scores)
    return path


@pytest.fixture
def scored(tmp_path):
    return scores_of(tmp_path / "scores.jsonl", FACTS, GAPS.values())


def test_the_default_selects_everything():
    assert Everything().select(FACTS, 0).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [(0.2, "a"), (0.4, "ad"), (2, "ad"), (0.8, "abde"), (4, "abde"), (1, "abcde"), (1.0, "abcde"), (5, "abcde")],
)
def test_the_greatest_gaps_are_kept(scored, keep, kept):
    assert "".join(FACTS[place].id for place in Difference(scored, keep).select(FACTS, 0)) == kept


def test_the_seed_breaks_ties(scored):
    kept = {tuple(Difference(scored, 3).select(FACTS, seed).tolist()) for seed in range(20)}
    assert kept == {(0, 1, 3), (0, 3, 4)}  # b or e beside a and d
    assert Difference(scored, 3).select(FACTS, 7).tolist() == Difference(scored, 3).select(FACTS, 7).tolist()


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=60), st.floats(0.001, 1), st.integers(0, 3))
def test_the_largest_gaps_are_kept_exactly(tmp_path_factory, gaps, keep, seed):
    facts = [Fact(f"S{n}", "r", "o", str(n)) for n in range(len(gaps))]
    path = scores_of(tmp_path_factory.mktemp("scores") / "s.jsonl", facts, gaps)
    if int(keep * len(gaps)) == 0:
        with pytest.raises(KISError, match=r"infusion\.selection\.keep"):
            Difference(path, keep).select(facts, seed)
        return
    kept = Difference(path, keep).select(facts, seed)
    assert len(kept) == len(set(kept.tolist())) == int(keep * len(gaps))
    assert kept.tolist() == sorted(kept.tolist())
    written = np.array([1.0 - (1.0 - gap) for gap in gaps])  # as a file holds them
    rest = np.setdiff1d(np.arange(len(gaps)), kept)
    assert not len(rest) or written[kept].min() >= written[rest].max()


def test_passages_are_selected_in_the_same_way(tmp_path):
    passages = [Passage("one text", "p1"), Passage("another", "p2")]
    path = scores_of(tmp_path / "scores.jsonl", passages, (0.1, 0.2))
    assert Difference(path).select(passages, 0).tolist() == [1]


def lines_of(path, **changes):
    """A file of three facts; per token another one is first than per byte."""
    about = {"type": "scores", "schema": 1, "unit": "nats per byte", "one_tokenizer": True, **changes}
    rows = [("a", 0.5, 0.1, 5, 10), ("b", 0.4, 0.1, 10, 40), ("c", 0.3, 0.1, 2, 20)]
    lines = [
        {"id": FACTS[n].id, "small": small, "large": large, "gap": small - large, "tokens": [tokens, tokens],
         "bytes": size, "key": f"{entry_key(FACTS[n]):016x}"}
        for n, (_, small, large, tokens, size) in enumerate(rows)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in [about, *lines]))
    return path


def test_units_rank_otherwise(tmp_path):
    # Per byte 0.4, 0.3, 0.2; per token 0.4 * 10 / 5 = 0.8, 0.3 * 40 / 10 = 1.2, 0.2 * 20 / 2 = 2.0.
    path = lines_of(tmp_path / "s.jsonl")
    assert Difference(path, 1).select(FACTS[:3], 0).tolist() == [0, 1, 2]
    assert Difference(path, 0.4).select(FACTS[:3], 0).tolist() == [0]
    assert Difference(path, 0.4, "token").select(FACTS[:3], 0).tolist() == [2]
    assert Difference(path, 0.9, "token").select(FACTS[:3], 0).tolist() == [1, 2]  # int(2.7), in order


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"one_tokenizer": False, "tokenizers": ["x", "y"]}, r"two tokenizers, \['x', 'y'\]"),
        ({"one_tokenizer": None}, "two tokenizers"),
    ],
)
def test_losses_per_token_of_two_tokenizers_are_refused(tmp_path, changes, found):
    path = lines_of(tmp_path / "s.jsonl", **changes)
    with pytest.raises(KISError, match=found):
        Difference(path, 0.4, "token").select(FACTS[:3], 0)
    assert Difference(path, 0.4).select(FACTS[:3], 0).tolist() == [0]  # per byte they compare


def test_no_other_unit():
    with pytest.raises(KISError, match="expected one of byte, token"):
        chosen("selections", Choice("difference", {"unit": "word"}), "infusion.selection")


def test_order_and_additional_scores_do_not_matter(scored):
    assert Difference(scored, 1).select([FACTS[4], FACTS[0]], 0).tolist() == [0, 1]
    assert Difference(scored, 0.5).select([FACTS[2], FACTS[0]], 0).tolist() == [1]


def test_entries_without_a_score_are_named(scored):
    with pytest.raises(KISError, match=re.escape("no score for fact 'new'")) as error:
        Difference(scored).select([*FACTS, Fact("X", "born", "Y", "new")], 0)
    assert "1 of 6 are like that" in str(error.value)


def test_scores_of_an_edited_fact_are_refused(scored):
    edited = [Fact("Person a", "born", "Elsewhere", "a"), *FACTS[1:]]
    with pytest.raises(KISError, match="a score of another content for fact 'a'"):
        Difference(scored).select(edited, 0)


def test_more_than_there_is_cannot_be_kept(scored):
    with pytest.raises(KISError, match="found 6, which is 6 of 5, expected 1 to 5 of them"):
        Difference(scored, 6).select(FACTS, 0)


@pytest.mark.parametrize("keep", [0, -1, 1.5, True, "half", float("nan"), float("inf")])
def test_an_invalid_keep_is_refused_with_its_line(keep):
    with pytest.raises(KISError, match=r"infusion\.selection(\.keep)?: found .*expected a (part|number)"):
        chosen("selections", Choice("difference", {"keep": keep}), "infusion.selection")


def test_no_file_says_how_to_make_one(tmp_path):
    with pytest.raises(KISError, match="kis score"):
        Difference().select(FACTS, 0)
    with pytest.raises(KISError, match=r"no such file.*kis score"):
        Difference(tmp_path / "none.jsonl").select(FACTS, 0)


def _first(**changed):
    return json.dumps({"type": "scores", "schema": 1, "unit": "nats per byte", **changed})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "an empty file"),
        (["{"], "not JSON"),
        (["[]"], "a JSON object"),
        (['{"id": "a"}'], "expected 'scores', schema 1"),
        ([_first(unit="nats")], "unit 'nats'"),
        ([_first(), '{"id": "a", "gap": 1}'], r"scores.jsonl:2: found no score"),
        ([_first(), '{"id": "a", "gap": NaN, "key": "00"}'], r"scores.jsonl:2: found gap nan"),
        ([_first(), '{"id": "a", "gap": 1, "key": "0a"}', '{"id": "a", "gap": 2, "key": "0a"}'], "scored twice"),
    ],
)
def test_files_of_another_kind_are_refused_as_scores(tmp_path, lines, message):
    path = tmp_path / "scores.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    with pytest.raises(KISError, match=message):
        read_scores(path)


def test_a_loss_that_is_not_finite_leaves_no_file(tmp_path):
    path = tmp_path / "scores.jsonl"
    with pytest.raises(KISError, match="entry 'a'"):
        write_scores(path, {}, [Score("a", float("nan"), 1.0, (1, 1), 1, "00")])
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.tuples(*[st.text(max_size=3)] * 4), unique=True, max_size=20))
def test_keys_tell_apart_whatever_the_names_hold(parts):
    keys = {entry_key(Fact(*part)) for part in parts}
    assert len(keys) == len(parts)
