"""Runs that are named while the evidence is too thin: beyond open ends, into gaps, at sizes that are lacking."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kis_plugin.registry import registered
from kis_predict.pipeline import PredictionRequest, predict
from kis_predict.sweep import FEWEST_FREQUENCIES, MOST_SHARE


def ask(runs, count):
    answer = predict(runs, PredictionRequest(params=10**10, bootstraps=50, next_runs=count), registered("laws"))
    assert answer.status == "insufficient"
    return answer.next_runs


def of_size(runs, params):
    return sorted(run.frequency for run in runs if run.params == params)


def test_sizes_without_collapse_get_greater_frequencies(sweep_runs):
    runs = sweep_runs(last={0: -1.5, 1: -1.5, 2: -1.5, 3: -1.5})
    wanted = ask(runs, 4)
    assert [run.params for run in wanted] == sorted({run.params for run in runs})
    assert all(run.frequency > max(of_size(runs, run.params)) for run in wanted)
    assert all(np.isinf(run.width) and run.flops == 6 * run.params * run.tokens for run in wanted)


def filled_to(runs, share):
    """The same runs, their shares in proportion to F up to ``share`` at each size's last frequency."""
    return [replace(run, share=share * run.frequency / max(of_size(runs, run.params))) for run in runs]


def test_where_nothing_fits_the_best_is_evaluated_again(sweep_runs):
    full = filled_to(sweep_runs(last=dict.fromkeys(range(4), -1.5)), 0.89)
    for run in ask(full, 12):
        mine = of_size(full, run.params)
        best = max((other for other in full if other.params == run.params), key=lambda other: other.retention)
        assert run.frequency <= mine[-1] * (1 + 1e-9)
        assert run.frequency >= mine[max(mine.index(best.frequency) - 1, 0)]


def test_a_thin_size_is_filled_where_its_gaps_are_widest(sweep_runs):
    runs = [run for run in sweep_runs(points=3) if run.params < 2e8]
    wanted = ask(runs, 40)
    for params in {run.params for run in runs}:
        have = of_size(runs, params)
        new = [run.frequency for run in wanted if run.params == params]
        assert len(have) + len(new) >= FEWEST_FREQUENCIES
        assert all(have[0] < frequency < have[-1] for frequency in new)
        assert np.isclose(new[0], np.sqrt(have[0] * have[1])) or np.isclose(new[0], np.sqrt(have[1] * have[2]))


def test_missing_sizes_are_added_by_the_rule_for_tokens(sweep_runs):
    runs = [run for run in sweep_runs() if run.params < 5e7]
    new = [run for run in ask(runs, 40) if run.params > 5e7]
    assert {run.params for run in new} == {3 * 30_000_000}
    assert {run.tokens for run in new} == {3 * 30_000_000 * 20}
    constant = [run for run in sweep_runs(tokens=10**9, tokens_per_param=20) if run.params < 5e7]
    assert {run.tokens for run in ask(constant, 40) if run.params > 5e7} == {10**9}


def test_no_run_beyond_the_usable_share_is_wanted(sweep_runs):
    runs = filled_to(sweep_runs(last=dict.fromkeys(range(4), -1.5)), 0.5)
    for run in ask(runs, 30):
        most = max(other.share / other.frequency for other in runs if other.params == run.params)
        assert run.frequency * most <= MOST_SHARE * (1 + 1e-9)


def test_none_are_named_unless_requested_and_none_of_nothing(sweep_runs):
    assert ask(sweep_runs(points=3), 0) == ()
    assert ask([], 8) == ()
