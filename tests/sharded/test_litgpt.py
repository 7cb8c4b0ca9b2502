"""LitGPT under FSDP, its own choice for several devices: exact, and exact again after a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("litgpt")

from tests.world.litgpt import controls_shown, shown, write_kis
from tests.world.logs import log_of
from tests.world.processes import run_ranks
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


@pytest.mark.slow
def test_litgpt_under_fsdp_is_exact_before_and_after_a_kill(tmp_path):
    for folder in (tmp_path / "whole", tmp_path / "cut"):
        write_kis(folder)
        write_lit_tokenizer(folder / "tokenizer")
    whole = train(tmp_path / "whole", "all")
    split = json.loads((tmp_path / "whole" / "all.json").read_text())
    assert "FullyShardedDataParallel" in split["modules"]
    before = train(tmp_path / "cut", "before", kill_at=7)
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
    assert split["local"] < sum(weight.numel() for weight in weights(tmp_path / "whole").values())
