"""A sweep on a real SLURM cluster, if there is one: ``.ci/slurm`` starts a cluster of a single node."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.world.sweeps import begin_and_await_a_checkpoint, ends_of, kis, logs_of, plan, sweep_whole, write_split

pytest.importorskip("submitit")


def slurm_is_available() -> bool:
    """Return whether SLURM has a node that accepts jobs."""
    if not shutil.which("sinfo"):
        return False
    listed = subprocess.run(["timeout", "10", "sinfo", "--noheader", "--format=%t"], capture_output=True, text=True)
    return listed.returncode == 0 and bool({"idle", "mix", "alloc"} & set(listed.stdout.split()))


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not slurm_is_available(), reason="no SLURM is available here; .ci/slurm starts one"),
]

LONGER = ("--tokens-per-param", "8", "--no-uninfused")  # some seconds per run, so that it can be interrupted


@pytest.fixture
def world(tmp_path):
    write_split(tmp_path)
    return tmp_path


def jobs_of(world) -> list[str]:
    """Return the ids of the submitted jobs."""
    return [path.name.partition("_")[0] for path in world.glob("sweep/slurm/*_submitted.pkl")]


def output_of(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.2)


def test_jobs_log_the_same_as_the_local_engine(world, tmp_path_factory):
    plan(world)
    done = kis(world, "sweep", "run", "sweep", "--engine", "slurm")
    assert done.returncode == 0, done.stderr
    here = tmp_path_factory.mktemp("here")
    sweep_whole(here)
    assert logs_of(world / "sweep") == logs_of(here / "sweep")


def test_job_that_reaches_its_time_limit_continues(world, tmp_path_factory):
    plan(world, *LONGER)
    process = begin_and_await_a_checkpoint(world, "--engine", "slurm", "--slurm", "slurm_max_num_timeout=1")
    (job,) = jobs_of(world)
    subprocess.run(["scancel", "--signal=USR2", job], check=True)  # as SLURM does shortly before the time limit
    # SLURM restarts the job after two minutes. A release by scontrol could overlap the end of the first attempt.
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert "this job is timed-out" in (world / "sweep" / "slurm" / f"{job}_0_log.err").read_text()
    assert jobs_of(world) == [job]
    unbroken = tmp_path_factory.mktemp("unbroken")
    sweep_whole(unbroken, *LONGER)
    assert ends_of(world / "sweep") == ends_of(unbroken / "sweep")


def test_interrupt_cancels_the_jobs_of_a_sweep(world):
    plan(world, *LONGER)
    process = begin_and_await_a_checkpoint(world, "--engine", "slurm")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    (job,) = jobs_of(world)
    wait_for(lambda: job not in output_of("squeue", "--noheader", "--format=%i").split())
    done = kis(world, "sweep", "run", "sweep")  # no job still holds the run
    assert done.returncode == 0, done.stderr
