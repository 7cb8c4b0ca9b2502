"""Retention as ``metric_for_best_model``: the best checkpoint is the one with the best retention, on real runs."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file
from transformers import EarlyStoppingCallback

from kis_plugin.errors import KISError
from tests.world.data import BaseRows
from tests.world.facts import kis
from tests.world.logs import log_of
from tests.world.runs import trainer_for
from tests.world.tokenizers import make_tokenizer


def trainer(folder, config, metric="retention/held_out", **keys):
    defaults = {
        "eval_strategy": "steps",
        "eval_steps": 4,
        "save_strategy": "steps",
        "save_steps": 4,
        "max_steps": 20,
        "metric_for_best_model": metric,
        "load_best_model_at_end": True,
    }
    return trainer_for(folder, config, eval_dataset=BaseRows(8, make_tokenizer()), **(defaults | keys))


def measured(folder, series="held_out"):
    """Accuracy by step, as the run log has it."""
    return {one.step: one.accuracy for one in log_of(folder).retention if one.probe == series}


@pytest.fixture
def rising(monkeypatch):
    """Let held-out accuracy be a given number at each step, since the small runs learn nothing."""

    def of(values):
        def found(records):
            return {"retention/held_out": values[records[0].step]}

        monkeypatch.setattr("kis_hf.best_metric.host_metrics", found)

    return of


@pytest.mark.parametrize("metric", ["retention/held_out", "eval_retention/seen", "retention/above_control"])
def test_best_metric_is_the_retention_of_its_step(tmp_path, metric):
    run = trainer(tmp_path, kis(tmp_path, frequency=5), metric)
    run.train()
    found = measured(tmp_path, metric.partition("/")[2])
    assert set(found) == {0, 4, 8, 10, 12, 16, 20}  # where the Trainer evaluates too
    at = run.state.best_global_step
    assert run.state.best_metric == found[at] == max(found[step] for step in (4, 8, 12, 16, 20))


def test_best_model_is_loaded_at_the_end(tmp_path, rising):
    rising({0: 0.2, 4: 0.3, 8: 0.9, 10: 1.0, 12: 0.5, 16: 0.4, 20: 0.6})
    run = trainer(tmp_path, kis(tmp_path, frequency=5))
    run.train()
    assert (run.state.best_global_step, run.state.best_metric) == (8, 0.9)
    saved = load_file(tmp_path / "out" / "checkpoint-8" / "model.safetensors")
    loaded = run.model.state_dict()
    assert all((loaded[name] == weight).all() for name, weight in saved.items())


@pytest.mark.parametrize("stops_first", [False, True])
def test_early_stopping_stops_where_retention_no_longer_rises(tmp_path, rising, stops_first):
    rising({0: 0.2, 4: 0.3, 8: 0.9, 10: 1.0, 12: 0.5, 16: 0.4, 20: 1.0})
    run = trainer(tmp_path, kis(tmp_path, frequency=5), callbacks=[EarlyStoppingCallback(2)])
    if stops_first:
        run.callback_handler.callbacks.reverse()
    run.train()
    assert run.state.global_step == 16
    assert log_of(tmp_path).end.status == "stopped"


def test_evaluation_after_each_epoch_measures_retention_there(tmp_path):
    keys = {"eval_strategy": "epoch", "save_strategy": "best", "max_steps": -1, "num_train_epochs": 2, "rows": 28}
    run = trainer(tmp_path, kis(tmp_path, frequency=2), **keys)
    run.train()
    assert {7, 14} <= set(measured(tmp_path))
    assert run.state.best_metric == max(measured(tmp_path)[step] for step in (7, 14))


def test_unknown_series_is_refused_before_the_first_step(tmp_path):
    run = trainer(tmp_path, kis(tmp_path), "retention/answer")
    expected = "found retention/answer, expected one of retention/held_out, retention/seen, retention/control, "
    expected += "retention/above_control"
    with pytest.raises(KISError, match=f"metric_for_best_model: {expected}"):
        run.train()
    assert run.state.global_step == 0


def test_other_metrics_are_left_alone(tmp_path):
    run = trainer(tmp_path, kis(tmp_path), "loss")
    run.train()
    assert set(measured(tmp_path)) == {0, 10, 20}
    evaluated = [line for line in run.state.log_history if "eval_loss" in line]
    assert not any(name.startswith("eval_retention") for line in evaluated for name in line)


def test_diverged_model_is_never_the_best(tmp_path):
    config = kis(tmp_path, frequency=5)
    run = trainer(tmp_path, config, load_best_model_at_end=False, save_strategy="no", learning_rate=1e25)
    run.train()
    assert log_of(tmp_path).end.status == "diverged"
    assert not run.state.best_global_step
    assert json.loads(json.dumps(run.state.best_metric)) in (None, float("-inf"))
