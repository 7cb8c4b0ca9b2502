"""The benchmark of sharded runs: that its parts measure what they say, and that their figures stay within bounds."""

from __future__ import annotations

import argparse

import pytest

pytest.importorskip("torch")

from benchmarks.sharded import compared, counting, main, writing


def test_pairs_are_compared_by_their_medians():
    pairs = [
        {"without": {"cpu": [1, 2, 9]}, "with": {"cpu": [2, 3, 4]}},
        {"without": {"cpu": [4]}, "with": {"cpu": [4]}},
    ]
    assert compared(pairs, "cpu") == {"seconds": 3, "ratio": 1.25, "least": 1, "most": 1.5}


def test_a_batch_costs_as_much_whatever_is_announced_and_announcements_do_not_pile_up():
    found = counting(argparse.Namespace())
    assert found["50000"] < 3 * found["100"] + 0.1  # milliseconds of CPU
    assert found["most announcements kept"] < 2200  # 1000 were given up, out of 8000
    assert found["announcements kept at the end"] < 2200


def test_what_is_written_is_read(capsys, tmp_path):
    assert main(["--only", "writing", "--texts", "1000", "--json", str(tmp_path / "figures.json")]) == 0
    assert '"texts": 1000' in capsys.readouterr().out
    assert writing(argparse.Namespace(texts=10))["bytes"] > 10
