"""A sweep whose disk fills while its runs train: what stopped them is said, and it goes on once there is space."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("torch")

from kis_plugin.run.log import read_run_log
from tests.world.sweeps import kis, plan, write_split

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("disks cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, left: int) -> Path:
    """Fill the disk but for ``left`` bytes."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - left)
    return filler


def test_a_full_disk_fails_the_runs_by_name_and_they_go_on_exactly(small_disk):
    write_split(small_disk)
    assert plan(small_disk).returncode == 0
    filler = fill(small_disk, left=200_000)  # less than a checkpoint
    done = kis(small_disk, "sweep", "run", "sweep")
    assert done.returncode == 1
    failed = [line for line in done.stderr.splitlines() if line.startswith("kis: ")]
    assert len(failed) >= 2
    assert all("no space left on the disk of" in line for line in failed)
    status = kis(small_disk, "sweep", "status", "sweep")
    assert "finished" not in status.stdout
    filler.unlink()
    done = kis(small_disk, "sweep", "run", "sweep")
    assert done.returncode == 0, done.stdout + done.stderr
    logs = [read_run_log(path) for path in small_disk.glob("sweep/runs/**/kis.jsonl")]
    assert {log.run.frequency for log in logs} == {0, 8}
    for log in logs:
        assert log.end.status == "completed"
        assert log.end.extra.get("miscounted", 0) == 0
        if log.run.frequency:
            assert log.end.achieved_frequency == {"min": 8, "max": 8, "mean": 8}
