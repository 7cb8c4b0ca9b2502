"""Several evaluation sets: a run says at its end where none of them is named as general text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kis_plugin.plugins.session import Session
from kis_plugin.retention.general_split import general_split_notes
from tests.world.facts import people, write_facts
from tests.world.plain import make_run, train


@pytest.mark.parametrize(
    ("named", "splits", "said"),
    [
        (None, {"eval"}, ""),
        (None, {"general", "eval"}, ""),
        (None, {"general", "eval_a", "eval_b"}, ""),
        (None, {"eval_a", "eval_b"}, "losses of eval_a, eval_b: name the one that is general text"),
        ("a", {"eval_a", "eval_b"}, ""),
        ("eval_a", {"eval_a", "eval_b"}, ""),
        ("val", {"val"}, ""),
        ("aa", {"eval_a", "eval_b"}, "names 'aa', and the run has losses of eval_a, eval_b: none counts"),
        ("aa", {"general"}, "names 'aa', and the run has losses of general: none counts"),
        ("aa", set(), ""),
    ],
)
def test_what_is_unclear_is_said(named, splits, said):
    notes = general_split_notes(named, splits)
    assert len(notes) == bool(said)
    assert all(said in note for note in notes)


def test_run_says_it_at_its_end(tmp_path):
    write_facts(tmp_path, people(24))
    config = {"retention": {"control": 0, "probes": {"facts": 8}, "general_split": "generell"}}
    said = []
    session = Session(replace(make_run(tmp_path, {"frequency": 5}, config=config), notify=said.append))
    session.step_end(0)
    for split in ("eval_general", "eval_domain"):
        session.loss(0, split, 3.0)
    train(session)
    session.end(session.run.steps)
    (line,) = [line for line in said if "general_split" in line]
    assert line.startswith("kis: warning: retention.general_split names 'generell', and the run has losses of eval_dom")
