"""Scripts beside the tests, run in processes of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(**more: str) -> dict[str, str]:
    """The environment of a process that imports the project and ``tests.world`` from this checkout, on the CPU."""
    paths = os.pathsep.join(map(str, [ROOT, ROOT / "adapters", ROOT / "predictor"]))
    return os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | more


def agents(script: Path, *words: str, cwd: Path, nodes: int = 2) -> list[subprocess.Popen[bytes]]:
    """Start one torchrun a node, all of them here, with one process each; the caller waits for them or ends them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
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


def run_ranks(script: Path, *words: str, ranks: int = 2, timeout: float = 300) -> str:
    """Run ``script`` in processes of one group; return what they print."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", str(script)]
    done = subprocess.run([*command, *words], env=environment(), capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
