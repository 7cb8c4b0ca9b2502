"""LitGPT under FSDP, its own choice for several devices: exact, and exact again after a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("litgpt")

from tests.world.data import SEQUENCE_LENGTH
from tests.world.litgpt import Rows, controls_shown, run, shown, watch_training, write_kis
from tests.world.logs import log_of
from tests.world.processes import agents, run_ranks
from tests.world.tokenizers import write_lit_tokenizer

HERE = Path(__file__).parent


def train(folder: Path, seen_as: str, kill_at: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    run_ranks(HERE / "litgpt_rank.py", str(folder), seen_as, str(kill_at))
    seen = [np.load(folder / f"{seen_as}-{rank}.npz") for rank in (0, 1)]
    return [(one["inputs"], one["targets"]) for one in seen]


def weights(folder: Path) -> dict[str, Any]:
    saved = torch.load(folder / "out" / "final" / "lit_model.pth", weights_only=False)
    found: dict[str, Any] = saved.get("model", saved)
    return found


def moments(folder: Path) -> torch.Tensor:
    """The first moments of the first parameter, at step 10."""
    saved = torch.load(folder / "out" / "step-00000010" / "lit_model.pth", weights_only=False)["optimizer"]["state"]
    first = next(name for name in ("lm_head.weight", 0) if name in saved)  # FSDP saves by name
    assert saved[first]["step"] == 10
    found: torch.Tensor = saved[first]["exp_avg"]
    return found


@pytest.mark.slow
def test_litgpt_under_fsdp_is_exact_before_and_after_a_kill(tmp_path, monkeypatch):
    for folder in (tmp_path / "whole", tmp_path / "cut"):
        write_kis(folder)
        write_lit_tokenizer(folder / "tokenizer")
    whole = train(tmp_path / "whole", "all")
    split = json.loads((tmp_path / "whole" / "all.json").read_text())
    assert "FullyShardedDataParallel" in split["modules"]
    assert split["failures"] > 0  # in memory, of one rank: both halve their passes, and none waits for ever
    before = train(tmp_path / "cut", "before", kill_at=7)
    alone = shutil.copytree(tmp_path / "cut", tmp_path / "alone")
    after = train(tmp_path / "cut", "after")
    # Each rank saw two batches of two rows in each of seven steps, and two more batches before it was killed.
    kept = [[part[:28] for part in pair] for pair in before]
    resumed = [
        tuple(np.concatenate(parts) for parts in zip(*pairs, strict=True)) for pairs in zip(kept, after, strict=True)
    ]
    for one, other in zip(resumed, whole, strict=True):
        assert all((a == b).all() for a, b in zip(one, other, strict=True))
    for folder, seen in ((tmp_path / "whole", whole), (tmp_path / "cut", resumed)):
        assert set(shown(folder, seen, folder / "kis.yaml").values()) == {5}
        assert controls_shown(folder, seen, folder / "kis.yaml") == 0
        assert log_of(folder).end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
    for name, weight in weights(tmp_path / "whole").items():
        torch.testing.assert_close(weight, weights(tmp_path / "cut")[name], atol=1e-6, rtol=0)
    # One process, whose model is whole, goes on too. In the next epoch two take a row twice, to have as many each.
    on_one = {"steps": 18, "batch": 2, "accumulation": 4, "resume": "auto"}
    watch_training(monkeypatch)  # without compilation
    run(alone, Rows(count=83), alone / "kis.yaml", **on_one)
    assert log_of(alone).end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
    # Near, not equal: LitGPT's learning rate goes by iterations, of which one process takes twice as many a step.
    whole_moments = moments(tmp_path / "whole")
    assert (moments(alone) - whole_moments).norm() < 0.2 * whole_moments.norm()
    assert split["local"] < sum(weight.numel() for weight in weights(tmp_path / "whole").values())


OPTIONS = {
    "data": "kis_litgpt.KnowledgeInfusion", "data.kis": "kis.yaml", "data.data": "tests.world.litgpt.Rows",
    "data.data.count": 160, "model_config.name": "small", "model_config.block_size": SEQUENCE_LENGTH,
    "model_config.n_layer": 1, "model_config.n_embd": 16, "model_config.n_head": 2, "model_config.vocab_size": 512,
    "model_config.padded_vocab_size": 512, "train.max_tokens": 160 * SEQUENCE_LENGTH, "train.global_batch_size": 8,
    "train.micro_batch_size": 2, "train.save_interval": 2, "train.log_interval": 1, "train.lr_warmup_steps": 2,
    "train.max_norm": 1.0, "eval.interval": 10, "eval.max_iters": 3, "tokenizer_dir": "tokenizer", "out_dir": "out",
    "precision": "32-true", "devices": 1, "num_nodes": 2, "logger_name": "csv", "seed": 1, "resume": "auto",
}  # fmt: skip


def batches(folder: Path, start: str, stop: int | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
    """The first batches of each rank in a start of the command, or all of them."""
    found = []
    for rank in (0, 1):
        files = [np.load(path) for path in sorted((folder / f"{start}-{rank}").glob("0*.npz"))[:stop]]
        found.append(tuple(np.concatenate([file[name] for file in files]) for name in ("inputs", "targets")))
    return found


@pytest.mark.slow
def test_the_command_on_two_nodes_under_fsdp_goes_on_after_sigkill(tmp_path):
    """``litgpt pretrain --num_nodes 2 --resume auto`` by a torchrun a node; SIGKILL ends both in the middle."""
    write_kis(tmp_path)
    write_lit_tokenizer(tmp_path / "tokenizer")
    words = ["pretrain", "pythia-14m", *(word for key, value in OPTIONS.items() for word in (f"--{key}", f"{value}"))]
    killed = agents(HERE / "litgpt_command.py", "before", *words, cwd=tmp_path)
    until = time.monotonic() + 240
    # The checkpoint of step 8 is whole once that of step 10 is begun.
    while not list((tmp_path / "out").glob("step-0000001?")):
        ended = [agent.poll() for agent in killed]
        assert ended == [None, None], (tmp_path / "agent-0.txt").read_text()[-3000:]
        assert time.monotonic() < until
        time.sleep(0.01)
    for pid in [int((tmp_path / f"before-{rank}" / "pid").read_text()) for rank in (0, 1)]:
        os.kill(pid, signal.SIGKILL)
    for agent in killed:
        agent.kill()
        agent.wait(timeout=30)
    assert log_of(tmp_path).end is None
    for agent in agents(HERE / "litgpt_command.py", "after", *words, cwd=tmp_path):
        assert agent.wait(timeout=240) == 0, (tmp_path / "agent-0.txt").read_text()[-3000:]
    after = batches(tmp_path, "after")
    steps_after = len(after[0][0]) // 4  # two batches of two rows a rank
    before = batches(tmp_path, "before", stop=2 * (20 - steps_after))
    assert 8 <= 20 - steps_after < 20
    seen = [*before, *after]
    assert sum(len(targets) for _, targets in seen) == 160
    assert set(shown(tmp_path, seen, tmp_path / "kis.yaml").values()) == {5}
    assert controls_shown(tmp_path, seen, tmp_path / "kis.yaml") == 0
    log = log_of(tmp_path)
    assert (log.end.status, log.end.extra["starts"]) == ("completed", 2)
    assert log.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
