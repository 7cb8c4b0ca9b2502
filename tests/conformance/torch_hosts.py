"""A plain PyTorch loop, on map-style data and on a stream."""

from __future__ import annotations

import json

import torch

from kis_plugin.testing.adapters import BATCH, ROWS, Outcome
from kis_torch import KnowledgeInfusion
from tests.conformance.hf_hosts import model, weights_of
from tests.world import data
from tests.world.tokenizers import make_tokenizer


class LoopHost:
    """Map-style data."""

    data = staticmethod(lambda rows: rows)
    finds_any_epoch = True

    def __init__(self, monkeypatch):
        self.tokenizer = make_tokenizer()

    def run(self, folder, config, steps=20, stop=0, resume=False, big=False):
        rows, seen, trained = self.data(data.BareRows(ROWS, self.tokenizer)), [], model(big)
        optimizer = torch.optim.AdamW(trained.parameters(), lr=3e-3)
        saved = json.loads((folder / "kis-state.json").read_text()) if resume else None
        kis, step = None, 0
        if config:
            kis = KnowledgeInfusion(
                config, self.tokenizer, trained, rows, batch_size=BATCH, steps=steps, optimizer=optimizer, resumed=saved
            )
            batches, step = kis.loader(rows, shuffle=False), kis.step
        else:
            loader = torch.utils.data.DataLoader(rows, batch_size=BATCH)
            batches = (batch for _ in range(steps) for batch in loader)
        for batch in batches:
            seen.append(batch.numpy().copy())
            trained(input_ids=batch, labels=batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            if kis:
                kis.batch(batch)
                kis.step_end(step)
            if step in (stop, steps):
                break
        if kis and step == stop:
            (folder / "kis-state.json").write_text(json.dumps(kis.save()))
        if kis:
            kis.end()
        return Outcome(seen, weights_of(trained), kis.end if kis else lambda: None)

    def decode(self, folder, row):
        return self.tokenizer.decode(row.tolist())


class StreamLoopHost(LoopHost):
    """An iterable dataset."""

    data = staticmethod(data.Stream)
