"""Two processes on gloo see, together, exactly F of every fact; so do two that resume where two were stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from world import controls_shown, kis, make_tokenizer, shown, write_facts

from kis_plugin.runlog import read_run_log

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def train(folder: Path, name: str, workers: int, rows: int, stop: int = 0, resume: int = 0) -> list[np.ndarray]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "adapters"), str(ROOT / "predictor")])
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(HERE / "ddp_run.py"),
    ]
    words = [str(folder), str(folder / name), str(workers), str(stop), str(resume), str(rows)]
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*command, *words], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return [np.load(folder / f"{name}-{rank}.npy") for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("rows", [160, 153])  # 153: the host repeats rows to even the last batches out
def test_two_ranks_show_every_fact_f_times_before_and_after_a_resume(tmp_path, workers, rows):
    write_facts(tmp_path)
    config, tokenizer = kis(tmp_path, frequency=6), make_tokenizer()
    before = train(tmp_path, "before", workers, rows, stop=7)
    after = train(tmp_path, "after", workers, rows, resume=1)
    assert set(shown([*before, *after], config, tokenizer).values()) == {6}
    assert controls_shown([*before, *after], config, tokenizer) == 0
    (log,) = [read_run_log(path) for path in (tmp_path / "runs").glob("*/kis.jsonl")]
    assert log.end.achieved_frequency == {"min": 6, "max": 6, "mean": 6}
    assert log.end.status == "completed"
