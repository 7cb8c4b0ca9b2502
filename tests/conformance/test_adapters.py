"""Every adapter passes one suite; one more is a line in ``conftest.py``."""

from __future__ import annotations

import pytest

from kis_plugin.registry import registered
from kis_plugin.testing import AdapterSuite, small_config
from kis_plugin.testing.adapters import BATCH, SEQUENCE_LENGTH
from kis_predict.readers.gather import gather
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
