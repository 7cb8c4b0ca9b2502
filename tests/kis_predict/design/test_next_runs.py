from dataclasses import replace

import numpy as np
import pytest

from kis_predict.laws.built_in import PowerLaw
from kis_predict.pipeline import PredictionRequest, predict


def ask(runs, count, **question):
    return predict(
        runs,
        PredictionRequest(**{"params": 7 * 10**9, "bootstraps": 100, "next_runs": count, **question}),
        {"power": PowerLaw()},
    )


def test_each_run_narrows_the_interval_further_and_costs_6nd(sweep_runs):
    runs = ask(sweep_runs(probes=200), 5).next_runs
    assert len(runs) == 5
    widths = [run.width for run in runs]
    assert widths == sorted(widths, reverse=True)
    assert 0 < widths[-1] < widths[0] < 1
    assert all(run.flops == 6.0 * run.params * run.tokens for run in runs)


def test_the_runs_lie_where_they_tell_most(sweep_runs):
    answer = ask(sweep_runs(probes=200), 3)
    first = answer.next_runs[0]
    # A law is steered from its ends, and a collapse point from around the fall.
    assert first.params in {10**7, 27 * 10**7}
    size = next(size for size in answer.sizes if size.group.params == first.params)
    assert abs(np.log(first.frequency) - size.log_collapse) < 1.2


def test_a_censored_largest_size_gets_greater_frequencies(sweep_runs):
    runs = sweep_runs(last={3: -1.5})
    infused = ask(runs, 2).next_runs
    last = max(run.frequency for run in runs if run.params == 27 * 10**7)
    assert [run.params for run in infused] == [27 * 10**7] * 2
    assert min(run.frequency for run in infused) > last


def test_runs_at_a_new_size_are_worth_more_than_at_old_ones(sweep_runs):
    answer = ask(sweep_runs(), 6)
    assert {run.params for run in answer.next_runs} == {81 * 10**7}
    assert {run.tokens for run in answer.next_runs} == {20 * 81 * 10**7}
    collapse = 100 * 81**0.5
    assert min(run.frequency for run in answer.next_runs) < collapse < max(run.frequency for run in answer.next_runs)
    assert answer.next_runs[-1].width < 0.95


def test_a_new_size_stays_below_the_target(sweep_runs):
    assert {run.params for run in ask(sweep_runs(), 6, params=5 * 10**8).next_runs} <= {
        10**7,
        3 * 10**7,
        9 * 10**7,
        27 * 10**7,
    }


def test_about_as_much_narrower_as_promised(sweep_runs):
    """The new size that is named, swept in truth, narrows the real interval about as far as was said."""
    promised, got = [], []
    for seed in range(3):
        before = ask(sweep_runs(probes=300, seed=seed), 6)
        more = sweep_runs(sizes=(1e7, 3e7, 9e7, 27e7, 81e7), probes=300, seed=seed)
        after = ask(more, 0)
        widths = [np.log(each.collapse.high / each.collapse.low) for each in (before, after)]
        got.append(widths[1] / widths[0])
        promised.append(before.next_runs[-1].width)
    assert np.mean(got) == pytest.approx(np.mean(promised), abs=0.2)
    assert np.mean(got) < 1


def test_none_are_named_unless_requested(sweep_runs):
    assert ask(sweep_runs(), 0).next_runs == ()


@pytest.mark.parametrize("share", [0.85])
def test_no_run_beyond_the_usable_share_is_named(sweep_runs, share):
    runs = sweep_runs(last={3: -1.5})
    top = max(run.frequency for run in runs if run.params == 27 * 10**7)
    runs = [replace(run, share=share * run.frequency / top) for run in runs if run.frequency <= top]
    assert all(run.frequency * share / top <= 0.9 for run in ask(runs, 4).next_runs)


def test_by_cost_the_smaller_sizes_are_run_more(sweep_runs):
    runs = sweep_runs(probes=200)
    plain, by_cost = (ask(runs, 6, new_sizes=False, per_flop=wanted).next_runs for wanted in (False, True))
    assert sum(run.flops for run in by_cost) < sum(run.flops for run in plain)
    narrowed = [(1 - some[-1].width) / sum(run.flops for run in some) for some in (plain, by_cost)]
    assert narrowed[1] > narrowed[0]


def test_no_new_size_is_named_where_none_is_wanted(sweep_runs):
    runs = sweep_runs()
    have = {run.params for run in runs}
    assert {run.params for run in ask(runs, 6).next_runs} - have
    assert {run.params for run in ask(runs, 6, new_sizes=False).next_runs} <= have
