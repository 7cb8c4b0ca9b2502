"""A plain PyTorch loop, as a user would write it."""

from __future__ import annotations

import torch

from kis_torch import KnowledgeInfusion
from tests.world.models import make_model
from tests.world.tokenizers import make_tokenizer


def train(
    config, rows, seen, steps=20, accumulation=1, stop=0, resumed=None, keys=None, log=None, model=None, **of_loader
):
    """Train as a user would; return the infusion's object and what it saved."""
    model = model or make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    keys = {"batch_size": 4, "steps": steps, "accumulation": accumulation, "log": log, **(keys or {})}
    kis = KnowledgeInfusion(config, make_tokenizer(), model, rows, resumed=resumed, **keys)
    batches = iter(kis.loader(rows, **of_loader))
    for step in range(kis.step + 1, steps + 1):
        for _ in range(accumulation):
            batch = next(batches)
            ids = batch["input_ids"] if isinstance(batch, dict) else batch
            seen.append(ids.numpy().copy())
            model(input_ids=ids[:, :64], labels=ids[:, :64]).loss.backward()
            kis.batch(batch)
        optimizer.step()
        optimizer.zero_grad()
        kis.step_end(step)
        if step == stop:
            return kis, kis.save()
    kis.end()
    return kis, None
