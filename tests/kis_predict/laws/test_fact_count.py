"""What is answered for another number of facts than the sweep's: both readings, and the lower one is recommended."""

from dataclasses import replace

import numpy as np
import pytest

from kis_predict.laws.built_in import BudgetLaw, PowerLaw, ShareLaw
from kis_predict.pipeline import predict
from kis_predict.request import PredictionRequest
from tests.kis_predict.laws.test_forgetting import with_loss

LAWS = {law.name: law for law in (PowerLaw(), ShareLaw(), BudgetLaw())}
TEXT = 1000 * 20.0
"""Tokens of one exposure of the sweep's facts."""


def two_budgets(sweep_runs, with_facts=True):
    """Sizes that collapse at one share on two budgets, so that the data decide between exposures and the share."""
    runs = []
    for per_param in (20, 60):
        for params in (1e7, 3e7, 9e7):
            level = 0.1 * per_param * params / TEXT
            part = sweep_runs(
                sizes=(params,), exponent=0.0, level=level, tokens_per_param=per_param, share=None, probes=20_000
            )
            facts = {"facts": 1000, "tokens_per_fact": 20.0} if with_facts else {"facts": None}
            runs += [replace(run, **facts) for run in part]
    return runs


def ask(runs, **question):
    wanted = {"params": 3 * 10**8, "tokens": 12 * 10**9, "bootstraps": 60, **question}
    return predict(runs, PredictionRequest(**wanted), LAWS)


class TestMoreFacts:
    def test_the_share_decides_about_budgets_not_about_facts(self, sweep_runs):
        runs = two_budgets(sweep_runs)
        same, more = ask(runs), ask(runs, facts=4000)
        assert same.axis.odds > 10  # what the budgets say
        assert more.collapse.low < same.collapse.frequency / 4 < same.collapse.frequency < more.collapse.high

    @pytest.mark.parametrize(("facts", "times"), [(4000, 0.25), (1030, 1.0), (500, 1.0)])
    def test_the_recommendation_holds_by_both_readings(self, sweep_runs, facts, times):
        runs = two_budgets(sweep_runs)
        same, other = ask(runs), ask(runs, facts=facts)
        assert other.recommendation.frequency == pytest.approx(times * same.recommendation.frequency, rel=0.05)
        assert other.recommendation.risk <= 0.05

    @pytest.mark.parametrize(("axis", "times"), [("frequency", 1.0), ("share", 0.25)])
    def test_a_requested_axis_is_the_one_that_carries_over(self, sweep_runs, axis, times):
        runs = two_budgets(sweep_runs)
        same, more = ask(runs, axis=axis), ask(runs, axis=axis, facts=4000)
        assert more.collapse.frequency == pytest.approx(times * same.collapse.frequency, rel=1e-6)
        assert any("as requested (--axis)" in line for line in more.warnings)

    def test_longer_facts_count_as_more(self, sweep_runs):
        runs = two_budgets(sweep_runs)
        more, longer = ask(runs, facts=4000), ask(runs, tokens_per_fact=80.0)
        assert longer.collapse == more.collapse


class TestWhatIsSaid:
    @pytest.mark.parametrize(
        ("facts", "kept"), [(4000, "keeps the share's limit"), (250, "keeps the limit on exposures")]
    )
    def test_another_number_is_a_warning_with_its_consequence(self, sweep_runs, facts, kept):
        (line,) = (line for line in ask(two_budgets(sweep_runs), facts=facts).warnings if "times the text" in line)
        assert line.startswith(f"One exposure of every fact takes {facts / 1000:g} times")
        assert kept in line

    @pytest.mark.parametrize("facts", [None, 1000, 1030])
    def test_the_sweeps_own_number_is_none(self, sweep_runs, facts):
        assert not any("times the text" in line for line in ask(two_budgets(sweep_runs), facts=facts).warnings)

    def test_a_sweep_that_does_not_say_its_facts_has_no_times(self, sweep_runs):
        answer = ask(two_budgets(sweep_runs, with_facts=False), facts=4000, tokens_per_fact=20.0)
        assert not any("times the text" in line for line in answer.warnings)
        assert any("own facts are unknown" in line for line in answer.warnings)


@pytest.mark.parametrize("facts", [250, 1000, 4000])
def test_general_loss_is_read_by_the_text_that_is_infused(sweep_runs, facts):
    runs = [replace(run, facts=1000, tokens_per_fact=20.0, share=None) for run in with_loss(sweep_runs(), 60, 0.5)]
    same, other = (
        predict(runs, PredictionRequest(params=10**9, bootstraps=60, facts=count), {"power": PowerLaw()}).forgetting
        for count in (1000, facts)
    )
    assert other.frequency == pytest.approx(same.frequency * 1000 / facts)
    assert other.share == pytest.approx(same.share)
    assert np.isclose(other.high / other.low, same.high / same.low)
