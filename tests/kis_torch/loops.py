"""Plain loops over the small world."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info
from world import BaseRows, make_model, make_tokenizer

from kis_torch import KnowledgeInfusion


class Bare(BaseRows):
    """Rows that are bare ids, one more than a row where asked for."""

    def __init__(self, count, tokenizer, kind=torch.tensor, extra=0):
        super().__init__(count, tokenizer)
        self.rows, self.kind = np.concatenate([self.rows, self.rows[:, :extra]], axis=1), kind

    def __getitem__(self, index):
        return self.kind(self.rows[index])


class Mappings(BaseRows):
    """Rows as Trainers have them."""

    def __getitem__(self, index):
        return {name: torch.tensor(column) for name, column in super().__getitem__(index).items()}


class Stream(IterableDataset):
    """Rows that are shared among the workers."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        worker = get_worker_info()
        for index in range(worker.id if worker else 0, len(self.rows), worker.num_workers if worker else 1):
            yield self.rows[index]


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
