from dataclasses import replace

import numpy as np
import pytest

from kis_plugin.errors import KISError
from kis_predict.laws.built_in import BudgetLaw, ComputeLaw, PowerLaw
from kis_predict.pipeline import PredictionRequest, predict

LAWS = {law.name: law for law in (PowerLaw(), BudgetLaw(), ComputeLaw())}


def ask(runs, laws=LAWS, **question):
    return predict(runs, PredictionRequest(**{"params": 7 * 10**9, "bootstraps": 200, **question}), laws)


def truth(exponent=0.5, params=7e9):
    return 100 * (params / 1e7) ** exponent


@pytest.mark.parametrize("exponent", [-0.5, 0.5])
def test_the_truth_lies_in_the_interval_whatever_the_sign(sweep_runs, exponent):
    answer = ask(sweep_runs(exponent=exponent, level=1000 if exponent < 0 else 100))
    true = truth(exponent) * (10 if exponent < 0 else 1)
    assert answer.status == "ok"
    assert answer.collapse.low < true < answer.collapse.high
    assert answer.law.parameters["b"] == pytest.approx(exponent, abs=0.15)
    assert answer.extrapolation == pytest.approx(7e9 / 27e7)


def test_the_recommendation_keeps_to_the_risk(sweep_runs):
    runs = sweep_runs()
    answers = {risk: ask(runs, risk=risk) for risk in (0.01, 0.05, 0.3)}
    for risk, answer in answers.items():
        assert answer.recommendation.risk <= risk
        assert answer.recommendation.frequency <= answer.peak.high * (1 + 1e-12)
    infused = [answer.recommendation.frequency for answer in answers.values()]
    assert infused == sorted(infused)
    assert infused[0] < infused[1]


def test_amounts_agree_with_each_other(sweep_runs):
    answer = ask(sweep_runs(), tokens=200 * 10**9)
    infused = answer.recommendation
    assert answer.target.tokens == 200 * 10**9
    assert infused.infused_tokens == pytest.approx(infused.frequency * 1000 * 20)
    assert infused.share == pytest.approx(infused.infused_tokens / 200e9)
    assert answer.collapse.share == pytest.approx(answer.collapse.frequency * 20_000 / 200e9)


@pytest.mark.parametrize("constant", ["ratio", "budget"])
def test_without_tokens_the_sweeps_own_rule_is_assumed_aloud(sweep_runs, constant):
    runs = sweep_runs()
    if constant == "budget":
        runs = [replace(run, tokens=10**9) for run in runs]
    answer = ask(runs)
    assert answer.target.tokens == (140 * 10**9 if constant == "ratio" else 10**9)
    assert any("--tokens" in line for line in answer.assumptions)


def test_a_sweep_without_a_rule_needs_tokens(sweep_runs):
    runs = [run for at, size in enumerate((1e7, 3e7, 9e7, 27e7)) for run in sweep_runs(
        sizes=(size,), level=100 * (size / 1e7) ** 0.5, tokens_per_param=(20, 50, 5, 100)[at])]  # fmt: skip
    with pytest.raises(KISError, match="--tokens"):
        ask(runs)
    assert ask(runs, tokens=10**11).status == "ok"


def test_two_observed_collapses_are_too_few(sweep_runs):
    runs = sweep_runs(last={2: -1.5, 3: -1.5})
    answer = ask(runs)
    assert answer.status == "insufficient"
    assert (answer.collapse, answer.peak, answer.recommendation, answer.law) == (None, None, None, None)
    top = max(run.frequency for run in runs if run.params == 9 * 10**7)
    line = next(line for line in answer.missing if "N=90M" in line)
    added = [float(word.replace(",", "")) for word in line.split("F=")[-1].split(", ")]
    assert len(added) == 3
    assert min(added) > top


def test_frequencies_to_add_stay_below_a_share_of_nine_tenths(sweep_runs):
    runs = [replace(run, share=0.8 * run.frequency / 700) for run in sweep_runs(last={2: -1.5, 3: -1.5})]
    line = next(line for line in ask(runs).missing if "N=270M" in line)
    assert all(float(word.replace(",", "")) * 0.8 / 700 <= 0.91 for word in line.split("F=")[-1].split(", "))


def test_one_size_is_infused_which_sizes_to_add(sweep_runs):
    answer = ask(sweep_runs(sizes=(1e7,)))
    assert answer.status == "insufficient"
    assert any("N=30M, 90M" in line for line in answer.missing)


def test_nothing_left_after_screening_is_insufficient(sweep_runs):
    answer = ask([replace(run, status="failed") for run in sweep_runs()])
    assert answer.status == "insufficient"
    assert any("Left out 44 runs" in line for line in answer.warnings)


def test_a_censored_largest_size_still_counts(sweep_runs):
    answer = ask(sweep_runs(last={3: -1.5}), params=8 * 10**8)
    assert answer.status == "ok"
    assert answer.sizes[-1].censored == "right"
    assert answer.collapse.low < truth(params=8e8) < answer.collapse.high
    assert answer.extrapolation == pytest.approx(8e8 / 9e7)


def test_three_sizes_are_not_carried_on_by_a_factor_of_78(sweep_runs):
    answer = ask(sweep_runs(last={3: -1.5}))
    assert answer.status == "insufficient"
    assert answer.collapse is None
    assert any("10 times" in " ".join(line.split()) for line in answer.missing)


def test_a_target_beyond_the_hard_bound_takes_far(sweep_runs):
    runs = sweep_runs(sizes=(1e7, 2e7, 4e7, 8e7, 16e7, 32e7), probes=None)
    near, infused = ask(runs, params=101 * 32 * 10**7), ask(runs, params=101 * 32 * 10**7, far=True)
    assert near.status == "insufficient"
    assert any("--far" in line for line in near.missing)
    assert infused.extrapolation > 100
    assert infused.status == "ok" or not any("--far" in line for line in infused.missing)


def test_a_broken_size_is_named_and_hardly_counts(sweep_runs):
    sizes = (1e7, 2e7, 4e7, 8e7, 16e7, 32e7)
    sound = sweep_runs(sizes=sizes)
    broken = [replace(run, frequency=run.frequency / 20) if run.params == 4 * 10**7 else run for run in sound]
    calm, alarmed = ask(sound, params=10**9), ask(broken, params=10**9)
    assert any("N=40M" in line and "does not fit" in line for line in alarmed.warnings)
    assert not any("does not fit" in line for line in calm.warnings)
    assert alarmed.collapse.high / alarmed.collapse.low > calm.collapse.high / calm.collapse.low
    assert alarmed.collapse.frequency == pytest.approx(calm.collapse.frequency, rel=0.4)
    assert alarmed.collapse.low < truth(params=1e9) < alarmed.collapse.high


def late(runs, nats):
    """The smallest size as if it collapsed later: what its grid shows then is no collapse."""
    smallest = min(run.params for run in runs)
    return [replace(run, frequency=run.frequency / np.exp(nats)) if run.params == smallest else run for run in runs]


def test_a_smallest_size_without_collapse_bends_no_law(sweep_runs):
    sizes = (1e7, 2e7, 4e7, 8e7, 16e7)
    runs = sweep_runs(sizes=sizes, last={0: -0.4})
    early, sound = ask(late(runs, -2.0), params=10**9), ask(runs, params=10**9)
    assert [size.censored for size in early.sizes] == ["right", None, None, None, None]
    assert early.collapse.frequency == pytest.approx(truth(params=1e9), rel=0.25)
    assert early.collapse.low < sound.collapse.low
    infused = [line for line in early.warnings if "let one expect it" in line]
    assert len(infused) == 1
    assert "N=10M" in infused[0]
    assert not any("let one expect it" in line for line in sound.warnings)


def test_more_facts_than_in_the_sweep_lower_the_recommendation(sweep_runs):
    runs = sweep_runs()
    same, more = ask(runs), ask(runs, facts=10_000)
    assert more.recommendation.frequency == pytest.approx(same.recommendation.frequency / 10, rel=0.02)
    assert more.recommendation.risk <= 0.05
    assert any("share" in line and "cannot be known" in line for line in more.warnings)


@pytest.mark.parametrize(("tokens", "times"), [(14 * 10**9, 0.1), (14 * 10**11, 1.0)])
def test_tokens_off_the_rule_never_raise_the_amount(sweep_runs, tokens, times):
    power = {"power": PowerLaw()}
    infused, off = ask(sweep_runs(), laws=power), ask(sweep_runs(), laws=power, tokens=tokens)
    assert off.recommendation.frequency == pytest.approx(times * infused.recommendation.frequency, rel=0.03)
    assert any("a second budget" in line for line in off.warnings)
    assert not any("a second budget" in line for line in infused.warnings)


def test_fewer_facts_than_in_the_sweep_do_not_raise_it(sweep_runs):
    runs = sweep_runs()
    same, fewer = ask(runs), ask(runs, facts=200)
    assert fewer.recommendation.frequency == pytest.approx(same.recommendation.frequency, rel=0.03)


def test_facts_far_from_the_sweeps_are_refused(sweep_runs):
    answer = ask(sweep_runs(), facts=10)
    assert answer.status == "insufficient"
    assert any("wide" in line for line in answer.missing)


def test_a_share_above_nine_tenths_is_never_recommended(sweep_runs):
    runs = [replace(run, tokens=2 * 10**10) for run in sweep_runs(exponent=1.0, level=3000)]
    answer = ask(runs, laws={"power": PowerLaw()})
    assert answer.recommendation.share == pytest.approx(0.9)
    assert "share" in answer.recommendation.binding


def test_off_the_sweeps_rule_the_laws_spread_is_reported(sweep_runs):
    on, off = ask(sweep_runs()), ask(sweep_runs(), tokens=7 * 10**11)
    assert any("laws differ" in line for line in off.warnings)
    assert off.collapse.high / off.collapse.low > on.collapse.high / on.collapse.low


def test_a_law_of_ones_own_is_used_and_a_wrong_one_is_refused(sweep_runs):
    class Mine(PowerLaw):
        name = "mine"

    class Wrong(PowerLaw):
        name = "wrong"

        def features(self, params, tokens):
            return np.ones((1, 2))

    assert ask(sweep_runs(), laws={"mine": Mine()}).law.name == "mine"
    with pytest.raises(KISError, match="law 'wrong'"):
        ask(sweep_runs(), laws={"wrong": Wrong()})


def test_the_same_runs_in_any_order_give_the_same_answer(sweep_runs):
    runs = sweep_runs()
    assert ask(runs).collapse == ask(runs[::-1]).collapse
