"""``kis sweep plan --target --budget``: what a budget pays for, its warnings, and what it is said to buy."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import doc_budgets
import numpy as np
import pytest
from click.testing import CliRunner

from kis_plugin.cli.main import main
from kis_plugin.errors import KISError
from kis_sweep.budget import advice as advice_module
from kis_sweep.budget.advice import advise
from kis_sweep.budget.compute import flops_of
from kis_sweep.budget.design import Situation, best_design, expected_sd
from kis_sweep.budget.recorded_law import RISE, log_collapse
from kis_sweep.budget.simulation import Outcome, _curve
from kis_sweep.grid import cells_of

TARGET = Situation(7e9, 140e9, 20.0, 20_000.0)


def kis(*words):
    return CliRunner().invoke(main, ["sweep", "plan", *words], env={"COLUMNS": "80"})


@pytest.mark.parametrize(
    ("text", "flops"),
    [("1e21", 1e21), ("500h:H100", 500 * 3600 * 989e12 * 0.4), (" 2.5 h : a100 ", 2.5 * 3600 * 312e12 * 0.4)],
)
def test_budgets_are_flops_or_hours_of_a_gpu(text, flops):
    assert flops_of(text) == pytest.approx(flops)


@pytest.mark.parametrize("text", ["", "much", "-1e20", "nan", "inf", "500h", "5h:H10", "1e40", "h:H100", "0"])
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(KISError, match="--budget: found"):
        flops_of(text)


@pytest.mark.parametrize("budget", [1e18, 1e20, 1e22])
def test_a_design_costs_at_most_the_budget_and_more_of_it_is_better(budget):
    design = best_design(TARGET, budget)
    cells = cells_of(design.sizes, [0.0, *design.frequencies], design.seeds)
    assert design.runs_per_size * len(design.sizes) == len(cells)
    flops = sum(6 * cell.size * 20.0 * cell.size for cell in cells)
    assert flops == pytest.approx(design.flops)
    assert 0.5 * budget < flops <= budget * 1.001
    assert max(design.sizes) <= 7e9 / 3
    assert expected_sd(best_design(TARGET, 4 * budget), TARGET) < expected_sd(design, TARGET)


def test_no_run_is_longer_than_allowed():
    free, limited = (best_design(replace(TARGET, longest=longest), 1e22) for longest in (None, 1e20))
    assert 6 * free.sizes[-1] ** 2 * 20.0 > 1e20 >= 6 * limited.sizes[-1] ** 2 * 20.0
    assert limited.flops <= 1e22


def test_the_expected_error_is_that_of_bayesian_regression():
    design = best_design(TARGET, 1e20)
    rng = np.random.default_rng(0)
    at = np.log(np.array(design.sizes) / 7e9)
    step = math.log(design.frequencies[-1] / design.frequencies[0]) / (len(design.frequencies) - 1)
    sd = math.sqrt(0.15**2 * step / 0.5 / (1 + 0.5 * (design.seeds - 1)) + 0.1**2)
    errors = []
    for _ in range(4000):  # the posterior mean against the truth, both drawn from the prior
        truth = np.array([10.0, 10.0, 0.02]) * rng.standard_normal(3)
        x = np.stack([np.ones_like(at), at, at**2], axis=1)
        y = x @ truth + sd * rng.standard_normal(len(at))
        inverse = np.linalg.inv(x.T @ x / sd**2 + np.diag([1 / 100, 1 / 100, 1 / 0.0004]))
        errors.append((inverse @ x.T @ y / sd**2)[0] - truth[0] + 0.1 * rng.standard_normal())
    assert np.std(errors) == pytest.approx(expected_sd(design, TARGET), rel=0.05)


def test_sizes_that_never_learn_are_left_out():
    many = replace(TARGET, exposure=2e5)
    design = best_design(many, 1e21)
    assert not any(map(many.never_learns, design.sizes))
    smallest = design.sizes[0] / 1000
    share = many.collapse(smallest) / RISE * 2e5 / (20 * smallest)
    assert (share > 0.9) is many.never_learns(smallest)
    assert many.never_learns(1e5)


def advised(situation, budget, monkeypatch, **keys):
    """Advice without the minutes of its simulations."""
    outcome = Outcome(1.5, 1, 1, 1)
    monkeypatch.setattr(advice_module, "simulate", lambda *_: outcome)
    values = {"sweeps": 1, "seed": 0, "text_tokens": None, "target_text_tokens": None, "watch": lambda *_: None}
    return advise(situation, budget, {}, **(values | keys))


@pytest.mark.parametrize(
    ("situation", "budget", "keys", "says"),
    [
        (replace(TARGET, exposure=1.5e5), 1e21, {}, "would only give a bound"),
        (replace(TARGET, exposure=1.5e5), 1e21, {}, "before half of their facts are retained"),
        (TARGET, 1e21, {"text_tokens": 1e9}, "times, the target at most once"),
        (TARGET, 1e21, {"text_tokens": 1e12, "target_text_tokens": 2e10}, "at most once, the target 7 times"),
        (TARGET, 1e18, {}, "times the largest size"),
        (replace(TARGET, exposure=None), 1e21, {}, "Shares are not checked"),
    ],
)
def test_what_is_doubtful_about_a_design_is_said(monkeypatch, situation, budget, keys, says):
    found = advised(situation, budget, monkeypatch, **keys)
    assert [line for line in found.warnings if says in line], found.warnings


def test_a_good_plan_has_no_warnings(monkeypatch):
    assert advised(replace(TARGET, exposure=4000.0), 1e21, monkeypatch, text_tokens=1e12).warnings == ()


def test_more_runs_stop_paying_where_doubling_narrows_less_than_a_tenth(monkeypatch):
    enough = advised(TARGET, 1e21, monkeypatch).enough
    now, twice, before = (expected_sd(best_design(TARGET, part * enough), TARGET) for part in (1, 2, 0.5))
    assert 1 - twice / now < 0.1 <= 1 - now / before


def test_the_table_of_the_page_on_large_runs_is_what_the_command_chooses(monkeypatch):
    shown = doc_budgets.shown()
    assert [row[0] for row in shown] == [str(count) for count in doc_budgets.GPUS]
    factors = iter([float(row[-1].removeprefix("within x")) for row in shown for _ in range(3)])
    monkeypatch.setattr(advice_module, "simulate", lambda *_: Outcome(next(factors), 5, 5, 5))
    assert doc_budgets.rows() == shown


@pytest.mark.nightly
def test_the_table_of_the_page_on_large_runs_says_what_the_simulation_finds():
    assert doc_budgets.rows() == doc_budgets.shown()


def test_the_simulated_curve_loses_a_twentieth_at_the_collapse_point():
    assert _curve(0.0) == pytest.approx(0.95, abs=0.02)
    assert _curve(-math.log(RISE)) == pytest.approx(0.5, abs=0.02)
    assert _curve(-6.0) < 0.01
    assert _curve(3.0) < 0.01


def test_the_recorded_law_goes_through_the_middle_of_its_study():
    assert math.exp(log_collapse(0.7e6, 2.25e6)) == pytest.approx(250)
    assert log_collapse(1.4e6, 4.5e6) - log_collapse(0.7e6, 2.25e6) == pytest.approx(0.677 * math.log(2))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--target", "7B"], "--target and --budget go together."),
        (["--budget", "1e21"], "--target and --budget go together."),
        (["--target", "7B", "--budget", "1e21", "--sizes", "3M"], "--target chooses the grid"),
        (["--target", "7B", "--budget", "1e10"], "found 1e+10 FLOPs, too few for four sizes"),
        (["--target", "7B", "--budget", "1e21", "--longest", "3h"], "--longest: found '3h'"),
        (["--target", "7B", "--budget", "1e21", "--facts", "none.jsonl"], "none.jsonl"),
        (["--sizes", "1M", "--text", "t", "-o", "x"], "Missing option '--frequency'."),
        (["--sizes", "1M", "--frequency", "4", "-o", "x"], "Missing option '--text'."),
        (["--sizes", "1M", "--frequency", "4", "--text", "t"], "Missing option '--output / -o'."),
    ],
)
def test_options_that_do_not_fit_are_refused(words, says):
    outcome = kis(*words)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert says in outcome.stderr


@pytest.mark.slow
def test_a_plan_for_a_target_says_what_it_buys_and_how_to_plan_it():
    words = ["--target", "2B", "--budget", "2e20", "--exposure-tokens", "20k", "--simulations", "1"]
    outcome = kis(*words, "--json")
    found = json.loads(outcome.stdout)
    half, whole, double = found["choices"]
    assert [round(one["budget"] / 2e20, 3) for one in (half, whole, double)] == [0.5, 1.0, 2.0]
    assert whole["answered"] == 1
    assert 1.05 < whole["factor"] < 10
    assert f"--points {len(whole['frequencies'])} --seeds {whole['seeds']}" in found["next"]
    assert kis(*words, "--json").stdout == outcome.stdout
