from dataclasses import replace

import numpy as np
import pytest

from kis_predict.sweep import build_sweep


def test_groups_are_sizes_and_budgets(sweep_runs):
    runs = sweep_runs(sizes=(3e7, 1e7)) + sweep_runs(sizes=(1e7,), tokens_per_param=40)
    assert [(g.params, g.tokens, len(g.runs)) for g in build_sweep(runs).groups] == [
        (10**7, 2 * 10**8, 11), (10**7, 4 * 10**8, 11), (3 * 10**7, 6 * 10**8, 11),
    ]  # fmt: skip


def test_budgets_within_a_percent_are_one(sweep_runs):
    runs = sweep_runs(sizes=(1e7,))
    runs = [replace(run, tokens=run.tokens - 100_000 * (at % 3)) for at, run in enumerate(runs)]
    assert len(build_sweep(runs).groups) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "unfinished"}, "did not complete"),
        ({"status": "failed"}, "did not complete"),
        ({"retention": None}, "carry no held-out retention"),
        ({"frequency": 0.0}, "are uninfused"),
        ({"share": 0.95}, "share above 0.9"),
    ],
)
def test_what_cannot_be_compared_is_left_out_in_one_line(sweep_runs, change, reason):
    runs = sweep_runs(sizes=(1e7,))
    runs[3], runs[4] = replace(runs[3], **change), replace(runs[4], **change)
    sweep = build_sweep(runs)
    assert len(sweep.groups[0].runs) == 9
    assert [line for line in sweep.warnings if reason in line and "Left out 2 runs" in line] == list(sweep.warnings)


def test_a_share_that_the_log_does_not_give_is_computed(sweep_runs):
    runs = sweep_runs(sizes=(1e7,), share=None, facts=100_000)
    # 20 tokens of 100,000 facts in 2e8 tokens: a share of 0.9 is reached at F = 90.
    sweep = build_sweep(runs)
    assert max(run.frequency for run in sweep.groups[0].runs) <= 90 < max(run.frequency for run in runs)


def test_repeated_runs_are_left_out_but_seeds_are_not(sweep_runs):
    runs = sweep_runs(sizes=(1e7,), seeds=2)
    sweep = build_sweep([*runs, runs[0], replace(runs[1], retention=0.9)])
    assert len(sweep.groups[0].runs) == 22
    assert "Left out 2 runs that repeat another run" in sweep.warnings[0]


def test_without_seeds_only_equal_results_are_repeats(sweep_runs):
    runs = [replace(run, seed=None) for run in sweep_runs(sizes=(1e7,))]
    again = [replace(run, retention=run.retention + 0.01) for run in runs]
    assert len(build_sweep([*runs, *again, runs[0]]).groups[0].runs) == 22


def test_points_average_seeds_and_keep_their_probes(sweep_runs):
    group = build_sweep(sweep_runs(sizes=(1e7,), seeds=3, probes=600)).groups[0]
    x, retention, probes, repeats = group.points()
    assert len(x) == 11
    assert np.allclose(probes, 600)
    assert np.allclose(repeats, 3)
    by_hand = np.mean([run.retention for run in group.runs if np.isclose(np.log(run.frequency), x[5])])
    assert retention[5] == pytest.approx(by_hand)


def test_a_size_at_few_frequencies_is_not_fitted(sweep_runs):
    sweep = build_sweep(sweep_runs(sizes=(1e7,), points=4))
    assert not sweep.groups
    assert len(sweep.thin) == 1


def test_what_logs_do_not_say_is_assumed_aloud(sweep_runs):
    sweep = build_sweep(sweep_runs(sizes=(1e7,), probes=None, chance=None, share=None, facts=None))
    assert ["4 options are assumed" in sweep.assumptions[0], "probes" in sweep.assumptions[1]] == [True, True]
    assert "share" in sweep.assumptions[2]
