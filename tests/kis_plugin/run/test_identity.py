"""What a run is called: names that become folders are checked where they come from a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from kis_plugin.config.schema import Config, InfusionConfig
from kis_plugin.errors import KISError
from kis_plugin.run.identity import new_run_id, resumed_run_id


def test_a_name_that_kis_gave_is_taken(tmp_path):
    run_id = new_run_id("hf", 1000, Config(Path("facts.jsonl"), infusion=InfusionConfig(share=0.05)))
    assert resumed_run_id({"run_id": run_id}, tmp_path) == run_id


@pytest.mark.parametrize(
    "run_id", ["/etc/cron.d", "../../home", "..", ".", "", "a/b", "a\\b", "a\0b", "a\nb", 3, None, "x" * 300]
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, run_id):
    with pytest.raises(KISError, match="run_id of the checkpoint: found"):
        resumed_run_id({"run_id": run_id}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_that_is_a_link_to_elsewhere_is_refused(tmp_path):
    elsewhere, logs = tmp_path / "elsewhere", tmp_path / "runs"
    elsewhere.mkdir()
    logs.mkdir()
    (logs / "run").symlink_to(elsewhere)
    with pytest.raises(KISError, match=r"found a link to .*elsewhere"):
        resumed_run_id({"run_id": "run"}, logs)
