"""A sweep on SLURM itself, where one answers: ``.ci/slurm`` begins one of a single node."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.world.sweeps import begin_and_await_a_checkpoint, ends_of, kis, logs_of, plan, sweep_whole, write_split

pytest.importorskip("submitit")


def there_is_a_node() -> bool:
    """Return whether SLURM has a node here that takes jobs."""
    if not shutil.which("sinfo"):
        return False
    asked = subprocess.run(["timeout", "10", "sinfo", "--noheader", "--format=%t"], capture_output=True, text=True)
    return asked.returncode == 0 and bool({"idle", "mix", "alloc"} & set(asked.stdout.split()))


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not there_is_a_node(), reason="no SLURM answers here; .ci/slurm begins one"),
]

LONGER = ("--tokens-per-param", "8", "--no-uninfused")  # some seconds a run: it can be stopped long before its end


@pytest.fixture
def world(tmp_path):
    write_split(tmp_path)
    return tmp_path


def jobs_of(world) -> list[str]:
    """Return the numbers of the jobs that were submitted."""
    return [path.name.partition("_")[0] for path in world.glob("sweep/slurm/*_submitted.pkl")]


def asked(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def wait_for(it: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not it():
        assert time.monotonic() < until
        time.sleep(0.2)


def test_jobs_log_what_the_local_engine_does(world, tmp_path_factory):
    plan(world)
    done = kis(world, "sweep", "run", "sweep", "--engine", "slurm")
    assert done.returncode == 0, done.stderr
    here = tmp_path_factory.mktemp("here")
    sweep_whole(here)
    assert logs_of(world / "sweep") == logs_of(here / "sweep")


def test_a_job_whose_time_is_up_is_queued_again_and_goes_on_where_it_was(world, tmp_path_factory):
    plan(world, *LONGER)
    process = begin_and_await_a_checkpoint(world, "--engine", "slurm", "--slurm", "slurm_max_num_timeout=1")
    (job,) = jobs_of(world)
    subprocess.run(["scancel", "--signal=USR2", job], check=True)  # as SLURM does some time before the end of a job
    # It is begun again after two minutes; hastened by scontrol, it can meet the end of the first try and be lost.
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert "this job is timed-out" in (world / "sweep" / "slurm" / f"{job}_0_log.err").read_text()
    assert jobs_of(world) == [job]
    unbroken = tmp_path_factory.mktemp("unbroken")
    sweep_whole(unbroken, *LONGER)
    assert ends_of(world / "sweep") == ends_of(unbroken / "sweep")


def test_the_jobs_of_an_interrupted_sweep_are_cancelled(world):
    plan(world, *LONGER)
    process = begin_and_await_a_checkpoint(world, "--engine", "slurm")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    (job,) = jobs_of(world)
    wait_for(lambda: job not in asked("squeue", "--noheader", "--format=%i").split())
    done = kis(world, "sweep", "run", "sweep")  # nobody trains it still
    assert done.returncode == 0, done.stderr
