from dataclasses import replace

import numpy as np
import pytest

from kis_plugin.errors import KISError
from kis_predict.laws.axis import axis_report
from kis_predict.laws.built_in import PowerLaw
from kis_predict.laws.points import Points
from kis_predict.laws.selection import Sizes, Unit, fit_laws
from kis_predict.pipeline import PredictionRequest, predict

SIZES = (1e7, 3e7, 9e7, 27e7)
FACTS = (1000, 9000, 2000, 400)


def ask(runs, **question):
    return predict(runs, PredictionRequest(**{"params": 10**9, "bootstraps": 60, **question}), {"power": PowerLaw()})


def by_share(sweep_runs):
    """Sizes that infuse different numbers of facts and collapse at one share of D, 0.1."""
    runs = []
    for params, facts in zip(SIZES, FACTS, strict=True):
        level = 0.1 * params * 20 / (facts * 20)
        part = sweep_runs(sizes=(params,), exponent=0.0, level=level, facts=facts, share=None, probes=20_000)
        runs += [replace(run, tokens_per_fact=20.0) for run in part]
    return runs


def test_the_share_is_the_axis_where_it_misses_by_less(sweep_runs):
    answer = ask(by_share(sweep_runs), facts=5000, tokens_per_fact=20.0)
    assert answer.axis.name == "share"
    assert answer.axis.holdout_errors["share"] < 0.2 < answer.axis.holdout_errors["frequency"]
    assert answer.collapse.share == pytest.approx(0.1, rel=0.2)
    assert answer.collapse.frequency == pytest.approx(0.1 * 20e9 / (5000 * 20), rel=0.2)
    assert "r_c" in answer.law.formula


def test_both_axes_agree_where_facts_and_rule_are_kept(sweep_runs):
    runs = [replace(run, share=None, tokens_per_fact=0.5) for run in sweep_runs()]
    infused = {axis: ask(runs, axis=axis) for axis in ("auto", "frequency", "share")}
    assert infused["auto"].axis.name == "frequency"
    assert "do not tell the axes apart" in infused["auto"].axis.reason
    assert infused["share"].collapse.frequency == pytest.approx(infused["frequency"].collapse.frequency, rel=0.02)


@pytest.mark.parametrize("truth", ["frequency", "share"])
def test_a_second_budget_at_a_middle_size_shows_which_decides(truth):
    params, tokens = np.append(np.geomspace(1e7, 1.6e8, 5), 4e7), np.append(np.full(5, 2e8), 4e8)
    per_exposure = 2e4 / tokens
    y = np.log(200) - 0.6 * np.log(params / 1e7)
    y -= np.log(per_exposure / per_exposure[0]) if truth == "share" else 0
    points = Points(y, np.full(6, 0.08), np.zeros(6, dtype=np.int64))
    where = Sizes(params, tokens, (7e8, 1.4e10))
    units = {
        "frequency": Unit(np.zeros(6), 0.0),
        "share": Unit(np.log(per_exposure), float(np.log(2e4 / 1.4e10))),
    }
    candidates = fit_laws({"power": PowerLaw()}, where, points, 0, units)
    infused = axis_report(PredictionRequest(params=7 * 10**8), candidates, where, units, "")
    assert infused.name == truth
    assert infused.odds > 10
    assert infused.by_rule is None


def test_a_requested_axis_has_no_warning_of_unknown_facts(sweep_runs):
    requested = ask(by_share(sweep_runs), axis="frequency", facts=5000, tokens_per_fact=20.0)
    assert not any("facts are unknown" in line for line in requested.warnings)


def test_odds_that_say_little_are_warned_of(sweep_runs):
    runs = by_share(sweep_runs)
    clear, doubtful = (
        predict(
            part,
            PredictionRequest(params=10**9, bootstraps=60, facts=5000, tokens_per_fact=20.0),
            {"power": PowerLaw()},
        )
        for part in (runs, [replace(run, facts=round(run.facts**0.08 * 1000**0.92)) for run in runs])
    )
    assert clear.axis.odds > 10
    assert not any("is in doubt" in line for line in clear.warnings)
    assert doubtful.axis.odds < 10
    assert any("is in doubt" in line for line in doubtful.warnings)


def test_a_share_that_logs_do_not_give_is_refused(sweep_runs):
    runs = [replace(run, share=None, facts=None) for run in sweep_runs()]
    assert "cannot be judged" in ask(runs, facts=5000).axis.reason
    assert ask(runs, facts=5000).axis.holdout_errors["share"] is None
    with pytest.raises(KISError, match="--axis"):
        ask(runs, axis="share")


def test_the_axis_does_not_change_which_sizes_collapsed(sweep_runs):
    runs = by_share(sweep_runs)
    frequency, share = (ask(runs, axis=axis, facts=5000, tokens_per_fact=20.0) for axis in ("frequency", "share"))
    assert [np.isclose(a.log_collapse, b.log_collapse) for a, b in zip(frequency.sizes, share.sizes, strict=True)] == [
        True
    ] * 4
