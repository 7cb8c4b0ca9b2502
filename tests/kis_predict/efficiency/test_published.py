"""Published constants of From Data to Knowledge, as digits that agree, and its own fit written out again."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from benchmarks.published_efficiency import Row, exact_trials, main, rows
from kis_predict.efficiency.answers import ModelAnswers
from kis_predict.efficiency.joint_fit import LEAST_ALPHA, fit, trials_of
from kis_predict.efficiency.weighted import waf, wasb


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.what)
def test_every_published_digit_is_computed(row):
    assert row.digits == row.published_digits


def test_the_command_prints_them(capsys):
    assert main([]) == 0
    assert "4 of 4" in capsys.readouterr().out


def test_a_wrong_digit_is_counted():
    assert Row("", "0.1155", 0.11554).digits == 4
    assert Row("", "0.1155", 0.1157).digits == 3
    assert Row("", "0.1155", 0.9).digits == 0
    assert Row("", "3.0", 2.9).digits == 1


def some_answers(alphas, n=400, seed=3):
    random = np.random.default_rng(seed)
    models = []
    for number, alpha in enumerate(alphas):
        x = np.floor(np.exp(random.uniform(0, 9, n))) - 1
        correct = random.random(n) < 1 - (0.05 + 0.8 / (1 + x) ** alpha)
        models.append(ModelAnswers(f"m{number}", None, tuple(f"f{k}" for k in range(n)), x, correct))
    return models


def test_the_fit_is_that_of_the_papers_code():
    """``psf_nll_optimization.py``: alphas from 0.037, L0 and x0 from 0, all shared constants last, clipped at 1e-10."""
    models = some_answers((0.1, 0.3, 0.6))

    def loss(params):
        total, count = 0.0, 0
        for alpha, model in zip(params[:-2], models, strict=True):
            p = np.clip(1 - (params[-2] + params[-1] / np.power(1 + model.occurrences, alpha)), 1e-10, 1 - 1e-10)
            total += np.sum(model.correct * np.log(p) + (1 - model.correct) * np.log(1 - p))
            count += len(p)
        return -total / count

    theirs = minimize(loss, [0.07] * 3 + [0, 1], method="L-BFGS-B", bounds=[(0.037, None)] * 3 + [(0, None)] * 2)
    ours = fit([trials_of(model) for model in models])
    assert ours.nats <= theirs.fun + 1e-9
    assert (*ours.alphas, ours.L0, ours.x0) == pytest.approx(theirs.x, abs=5e-3)
    assert ours.nats == pytest.approx(loss([*ours.alphas, ours.L0, ours.x0]), abs=1e-12)


def test_answers_that_do_not_improve_are_at_the_bound():
    flat, steep = some_answers((0.0, 0.6), n=2000)
    found = fit([trials_of(flat), trials_of(steep)])
    assert found.alphas[0] == LEAST_ALPHA
    assert found.alphas[1] > 0.3


def test_noiseless_answers_give_their_law_back():
    found = fit([exact_trials(0.05), exact_trials(1.2)])
    assert (*found.alphas, found.L0, found.x0) == pytest.approx((0.05, 1.2, 0, 0.8844526), abs=1e-5)


def test_weighted_accuracies_written_out():
    x = np.array([0, 1, 1, 3, 5, 100, 20_000], dtype=float)
    correct = np.array([1, 1, 0, 1, 0, 1, 1], dtype=bool)
    model = ModelAnswers("m", None, tuple("abcdefg"), x, correct)
    w = [0 if k == 0 else np.exp(-0.05 * k) for k in x]
    assert waf(model) == pytest.approx(sum(a * b for a, b in zip(w, correct, strict=True)) / sum(w))
    # Buckets 1-2 (one of two right), 2-4 (right), 4-8 (wrong), 64-128 and 8192-inf (right).
    parts = [(1, 0.5), (2, 1), (4, 0), (64, 1), (8192, 1)]
    weights = [np.exp(-0.05 * low) for low, _ in parts]
    assert wasb(model) == pytest.approx(sum(w * a for w, (_, a) in zip(weights, parts, strict=True)) / sum(weights))
    never = ModelAnswers("m", None, ("a",), np.zeros(1), np.ones(1, dtype=bool))
    assert waf(never) is None
    assert wasb(never) is None
