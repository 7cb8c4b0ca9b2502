"""Scripts beside the tests, run in processes of their own."""

from __future__ import annotations

import multiprocessing.connection
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
_FORKS = multiprocessing.get_context("forkserver")
_PRELOADED = ["torch", "transformers.trainer", "accelerate", "datasets", "litgpt", "torch.distributed.fsdp"]  # if there


def environment(**more: str) -> dict[str, str]:
    """The environment of a process that imports the project and ``tests.world`` from this checkout, on the CPU."""
    paths = os.pathsep.join(map(str, [ROOT, ROOT / "adapters", ROOT / "predictor"]))
    return os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | more


def agents(script: Path, *words: str, cwd: Path, nodes: int = 2) -> list[subprocess.Popen[bytes]]:
    """Start one torchrun a node, all of them here, with one process each; the caller waits for them or ends them."""
    port = _free_port()
    started = []
    for node in range(nodes):
        command = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}", f"--node-rank={node}"]
        command += ["--nproc-per-node=1", "--master-addr=localhost", f"--master-port={port}", str(script), *words]
        with (cwd / f"agent-{node}.txt").open("wb") as said:
            started.append(
                subprocess.Popen(
                    command, cwd=cwd, env=environment(), stdout=said, stderr=subprocess.STDOUT, start_new_session=True
                )
            )
    return started


def run_ranks(script: Path, *words: str, ranks: int = 2, timeout: float = 300, torchrun: bool = False) -> str:
    """Run ``script`` in processes of one group; return what they print.

    The processes are forked from one that has imported the libraries, which takes longer than what a test trains;
    ``torchrun`` starts them as users do.
    """
    if torchrun:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        command += [str(script), *words]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout
    _FORKS.set_forkserver_preload(_PRELOADED)
    group = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(_free_port()), "TORCHELASTIC_RUN_ID": "tests"}
    group |= {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks), "GROUP_RANK": "0"}
    with tempfile.TemporaryDirectory() as folder:
        prints = [Path(folder) / f"{rank}" for rank in range(ranks)]
        started = [
            _FORKS.Process(
                target=_rank,
                args=(script, words, environment(**group, RANK=str(rank), LOCAL_RANK=str(rank)), prints[rank]),
            )
            for rank in range(ranks)
        ]
        for process in started:
            process.start()
        try:
            _wait(started, time.monotonic() + timeout)
        finally:
            for process in started:
                process.kill()
                process.join()
        errors = [path.with_suffix(".err").read_text() for path in prints]
        assert [process.exitcode for process in started] == [0] * ranks, "\n".join(text[-3000:] for text in errors)
        return "".join(path.with_suffix(".out").read_text() for path in prints)


def _wait(started: Sequence[multiprocessing.process.BaseProcess], until: float) -> None:
    """Wait until all processes have ended, or one has failed: the others would wait for it."""
    while any(process.exitcode is None for process in started) and not any(process.exitcode for process in started):
        assert time.monotonic() < until, "a process has not ended in time"
        multiprocessing.connection.wait([process.sentinel for process in started if process.exitcode is None], 1)


def _rank(script: Path, words: Sequence[str], environ: dict[str, str], prints: Path) -> None:
    os.environ.clear()
    os.environ.update(environ)
    for stream, suffix in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(prints.with_suffix(suffix), os.O_WRONLY | os.O_CREAT), stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    multiprocessing.set_start_method("fork", force=True)  # for workers of loaders, as in a process of its own
    sys.argv = [str(script), *words]
    runpy.run_path(str(script), run_name="__main__")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the workers of one test run share: the first to come makes what is in it, the others wait.

    Args:
        factory: Of the tests.
        name: Of the folder.
        make: Given the folder. Where it failed once it is not tried again.
    """
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    made, failed = folder / "made", folder / "failed"
    with FileLock(folder / "lock"):
        assert not failed.exists(), failed.read_text()
        if not made.exists():
            try:
                make(folder)
            except BaseException as error:
                failed.write_text(f"{name} failed before: {error}")
                raise
            made.touch()
    return folder
