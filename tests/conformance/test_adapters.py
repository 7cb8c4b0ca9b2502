"""Every adapter passes one suite; one more is a line in ``conftest.py``."""

from __future__ import annotations

import pytest

from kis_plugin.registry import registered
from kis_plugin.testing import AdapterSuite, small_config
from kis_plugin.testing.adapters import BATCH, SEQUENCE_LENGTH, run_log
from kis_predict.readers.gather import gather
from kis_predict.recipe import differences
from tests.conformance.conftest import made


class TestAdapters(AdapterSuite):
    @pytest.fixture
    def host(self, host_name, monkeypatch):
        self.name = host_name
        return self.make_host(monkeypatch)

    def make_host(self, monkeypatch):
        return made(self.name, monkeypatch)


def test_the_logs_of_all_adapters_are_one_sweep(every_host, tmp_path):
    for name, host in every_host.items():
        host.run(tmp_path / name, small_config(tmp_path / name, 5))
    found = gather([tmp_path], registered("log_readers")).runs
    assert len(found) == len(every_host)
    assert {(run.tokens, run.frequency, run.facts) for run in found} == {(20 * BATCH * SEQUENCE_LENGTH, 5, 20)}
    # Every adapter writes how its host trains, so that a sweep of several recipes is warned of.
    said = [run_log(tmp_path / name).run.extra for name in every_host]
    assert len({one["facts_hash"] for one in said}) == 1
    for one in said:
        known = {"optimizer": "AdamW", "learning_rate": 3e-3, "beta1": 0.9, "beta2": 0.999, "batch_size": BATCH}
        assert {name: one[name] for name in known} == known
        assert one["sequence_length"] == SEQUENCE_LENGTH
    # Streams do not say how many rows they have.
    assert {one.get("base_repeats") for one in said} == {1.0, None}
    decays = {one["weight_decay"] for one in said}
    assert any("The weight decay differs" in line for line in differences(found)) == (len(decays) > 1)
