"""Every adapter passes the same rows; one more is a row in ``conftest.py``."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kis_plugin.errors import KISError
from kis_plugin.registry import registered
from kis_predict.readers.gather import gather
from tests.conformance.contract import BATCH, SEQUENCE_LENGTH, shown
from tests.world.facts import kis as kis_config
from tests.world.logs import log_of, run_files


def test_every_fact_is_shown_exactly_f_times_and_controls_never(adapter, tmp_path):
    config = kis_config(tmp_path, 5)
    outcome = adapter.run(tmp_path, config, steps=45)  # two passes over the data and a quarter
    counts = shown(adapter, tmp_path, outcome.batches, config)
    assert sorted(counts.values()) == [0] * 4 + [5] * 20
    log = log_of(tmp_path)
    assert (log.end.status, log.end.step) == ("completed", 45)
    assert log.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
    assert log.run.tokens == 45 * BATCH * SEQUENCE_LENGTH


@pytest.mark.slow
def test_retention_rises_and_controls_stay_at_chance(adapter, tmp_path):
    adapter.run(tmp_path, kis_config(tmp_path, 80, infusion={"template_order": "first"}), steps=220, big=True)
    log = log_of(tmp_path)
    series = {name: [r.accuracy for r in log.retention if r.probe == name] for name in ("seen", "held_out", "control")}
    assert all(len(values) == 3 for values in series.values())
    assert series["seen"][0] < 0.5 < 0.9 <= series["seen"][-1]
    assert series["held_out"][-1] > series["held_out"][0]
    assert series["control"][-1] <= 0.5


def test_the_log_is_what_the_predictor_reads(adapter, tmp_path):
    adapter.run(tmp_path, kis_config(tmp_path, 5))
    (run,) = gather([tmp_path / "runs"], registered("log_readers")).runs
    assert (run.tokens, run.frequency, run.facts) == (20 * BATCH * SEQUENCE_LENGTH, 5, 20)
    log = log_of(tmp_path)
    assert log.run.params > log.run.params_non_embedding > 0
    assert sorted({record.step for record in log.retention}) == [0, 10, 20]
    assert {record.probe for record in log.retention} == {"held_out", "seen", "control"}


@pytest.mark.parametrize("cut", [7, 26])  # in the first pass over the data, in the second
def test_a_killed_run_goes_on_with_the_same_rows(adapter, tmp_path, cut):
    config, elsewhere = kis_config(tmp_path, 5), kis_config(tmp_path / "whole", 5)
    whole = adapter.run(tmp_path / "whole", elsewhere, steps=36)
    first = adapter.run(tmp_path, config, steps=36, stop=cut)
    if cut > 20 and not adapter.finds_any_pass:
        with pytest.raises(KISError, match=r"expected batch 6 of pass 2.*base text would be repeated"):
            adapter.run(tmp_path, config, steps=36, resume=True)
        return
    second = adapter.run(tmp_path, config, steps=36, resume=True)
    rows = [batch.tolist() for batch in [*first.batches, *second.batches]]
    assert rows == [batch.tolist() for batch in whole.batches]
    log = log_of(tmp_path)
    assert log.end.status == "completed"
    assert log.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed: found 1, expected 0"),
        ({"infusion": {"frequency": 4}}, "exposures: found .*4.*, expected .*5"),
    ],
)
def test_a_resume_with_another_plan_is_refused_by_name(adapter, tmp_path, change, message):
    config = kis_config(tmp_path, 5)
    adapter.run(tmp_path, config, stop=7)
    before = run_files(tmp_path)
    with pytest.raises(KISError, match=rf"resume at step 7.*{message}"):
        adapter.run(tmp_path, config | change, resume=True)
    assert run_files(tmp_path) == before


def test_the_end_told_twice_is_one_end(adapter, tmp_path):
    outcome = adapter.run(tmp_path, kis_config(tmp_path, 5))
    before = run_files(tmp_path)
    outcome.end_again()
    assert run_files(tmp_path) == before


def test_a_frequency_of_zero_is_a_run_without_kis_to_the_last_bit(adapter, tmp_path):
    plain = adapter.run(tmp_path / "plain", None)
    watched = adapter.run(tmp_path / "kis", kis_config(tmp_path / "kis", 0))
    assert len(plain.batches) == 20
    assert all(np.array_equal(a, b) for a, b in zip(plain.batches, watched.batches, strict=True))
    assert plain.weights
    assert all(torch.equal(a, b) for a, b in zip(plain.weights, watched.weights, strict=True))


def test_the_logs_of_all_adapters_are_one_sweep(every_adapter, tmp_path):
    for name, one in every_adapter.items():
        one.run(tmp_path / name, kis_config(tmp_path / name, 5))
    found = gather([tmp_path], registered("log_readers")).runs
    assert len(found) == len(every_adapter)
    assert {(run.tokens, run.frequency, run.facts) for run in found} == {(20 * BATCH * SEQUENCE_LENGTH, 5, 20)}
