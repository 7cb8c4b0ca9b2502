"""The study on data pipelines of frameworks, in a small form: written, trained on, audited, probed, predicted from."""

from __future__ import annotations

import json

import pytest

from kis_plugin.run.log import read_run_log
from tests.kis_write.test_host_readers import pytestmark as host_warnings

pytest.importorskip("transformers")
pytestmark = [*host_warnings, pytest.mark.slow]
MODULES = {"megatron": "megatron.core.datasets.gpt_dataset", "olmo": "olmo_core.data"}


@pytest.mark.parametrize("framework", MODULES)
def test_runs_on_a_frameworks_own_loader_end_in_a_reading_of_kis_predict(framework, tmp_path, capsys):
    pytest.importorskip(MODULES[framework])
    from studies.host_data.run import main

    small = ["--sizes", "55k", "--frequencies", "2", "3", "--tokens", "10k"]
    assert main([framework, str(tmp_path / "work"), *small]) == 1  # two runs settle nothing
    printed = capsys.readouterr()
    assert "Read 2 runs" in printed.err
    assert "the evidence is too weak" in printed.out
    logs = [read_run_log(path) for path in sorted((tmp_path / "work" / "runs").rglob("kis.jsonl"))]
    assert [log.run.frequency for log in logs] == [2, 3]
    for log in logs:
        assert log.run.extra["frequency_from"] == "audit"
        assert log.end.achieved_frequency["min"] == log.end.achieved_frequency["max"] == log.run.frequency
        assert (log.end.status, log.end.extra["miscounted"]) == ("completed", 0)
        assert {record.probe for record in log.retention} >= {"held_out", "seen", "control"}
        assert log.loss[-1].loss < log.loss[0].loss  # it was trained on what the loader gave
    audits = [json.loads((tmp_path / "work" / f"F{n}" / "audit.json").read_text()) for n in (2, 3)]
    assert [audit["wrong"] for audit in audits] == [0, 0]


def test_both_frameworks_give_the_same_rows_in_the_same_order(tmp_path):
    for module in MODULES.values():
        pytest.importorskip(module)
    from studies.fictional.prepare import prepare
    from studies.host_data.run import written
    from studies.host_data.train import LOADERS

    given = {}
    for framework, loader in LOADERS.items():
        folder = tmp_path / framework
        prepare(folder / "data", 50_000)
        (folder / "data" / "heldout.txt").write_text("some text")
        infused = written(folder, framework, 2, 160)
        manifest = json.loads((infused / "kis.manifest.json").read_text())
        given[framework] = [(ids.tolist(), targets.tolist()) for ids, targets in loader(infused, manifest, 8)]
    assert len(given["megatron"]) == len(given["olmo"]) == 20
    for (ids, targets), (others, other_targets) in zip(*given.values(), strict=True):
        assert ids == others
        for row, other in zip(targets, other_targets, strict=True):
            assert row[:-1] == other[:-1]
            assert other[-1] == -100  # OLMo-core's rows have no last target
        assert all(row[:-1] == of[1:] for row, of in zip(targets, ids, strict=True))
