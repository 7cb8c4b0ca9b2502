"""A plain PyTorch loop under kills: a run that writes down its batches, and the checkpoint that it goes on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.faults import small_runs
from benchmarks.faults.killing import Report
from benchmarks.faults.timeline import Witness
from benchmarks.faults.trainer_host import reported
from kis_torch import KnowledgeInfusion

__all__ = ["SAVE_EVERY", "train"]

SAVE_EVERY = 3
_STATE = "state.pt"


def _checkpoint_of(folder: Path) -> dict[str, Any] | None:
    """Return what the newest checkpoint holds; one that is not whole has no file of that name."""
    steps = [int(path.parent.name.removeprefix("step-")) for path in folder.glob(f"out/step-*/{_STATE}")]
    if not steps:
        return None
    saved: dict[str, Any] = torch.load(folder / "out" / f"step-{max(steps)}" / _STATE, weights_only=True)
    return saved


def _save(folder: Path, step: int, saved: dict[str, Any]) -> None:
    """Write a checkpoint as a careful user does: to another name, then renamed."""
    place = folder / "out" / f"step-{step}"
    place.mkdir(parents=True, exist_ok=True)
    torch.save(saved, place / "partial")
    (place / "partial").replace(place / _STATE)


def train(folder: Path, stream: bool, workers: int, seed: int, report: Report) -> None:
    """Train a run, from its last checkpoint if it has one; each call is one process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=small_runs.small_tokenizer(), eos_token=small_runs.EOS)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=500, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=small_runs.LENGTH, bos_token_id=None, eos_token_id=0,
        )
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    saved = _checkpoint_of(folder)
    if saved is not None:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    rows = small_runs.Rows(small_runs.STEPS * small_runs.BATCH // 2, bare=True)  # two epochs
    data: Any = small_runs.Stream(rows) if stream else rows
    resumed = saved["kis"] if saved else None
    witness = Witness(folder, resumed["step"] if resumed else 0)
    reported(model, report)
    kis = KnowledgeInfusion(
        folder / "kis.yaml", tokenizer, model, data, batch_size=small_runs.BATCH, steps=small_runs.STEPS,
        optimizer=optimizer, resumed=resumed,
    )  # fmt: skip
    batches = iter(kis.loader(data, num_workers=workers))
    for step in range(kis.step + 1, small_runs.STEPS + 1):
        batch = next(batches)
        ids = batch["input_ids"] if isinstance(batch, dict) else batch
        witness.batch(step - 1, ids.tolist())
        report("training")
        model(input_ids=ids, labels=ids).loss.backward()
        kis.batch(batch)
        optimizer.step()
        optimizer.zero_grad()
        kis.step_end(step)
        if step % SAVE_EVERY == 0:
            report("saving")
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "kis": kis.save()}
            _save(folder, step, state)
    kis.end()
