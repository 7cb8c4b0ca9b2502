"""A sweep whose disk fills while its runs train: what stopped them is said, and it goes on once there is space."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")

from kis_plugin.run.log import read_run_log
from tests.world.disks import fill, small_disk
from tests.world.sweeps import kis, plan, write_split

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "8m") as folder:
        yield folder


def test_a_full_disk_fails_the_runs_by_name_and_they_go_on_exactly(disk):
    write_split(disk)
    assert plan(disk).returncode == 0
    filler = fill(disk, left=200_000)  # less than a checkpoint
    done = kis(disk, "sweep", "run", "sweep")
    assert done.returncode == 1
    failed = [line for line in done.stderr.splitlines() if line.startswith("kis: ")]
    assert len(failed) >= 2
    assert all("no space left on the disk of" in line for line in failed)
    status = kis(disk, "sweep", "status", "sweep")
    assert "finished" not in status.stdout
    filler.unlink()
    done = kis(disk, "sweep", "run", "sweep")
    assert done.returncode == 0, done.stdout + done.stderr
    logs = [read_run_log(path) for path in disk.glob("sweep/runs/**/kis.jsonl")]
    assert {log.run.frequency for log in logs} == {0, 8}
    for log in logs:
        assert log.end.status == "completed"
        assert log.end.extra.get("miscounted", 0) == 0
        if log.run.frequency:
            assert log.end.achieved_frequency == {"min": 8, "max": 8, "mean": 8}
