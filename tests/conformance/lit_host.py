"""LitGPT's own ``setup`` over a data module that wraps another."""

from __future__ import annotations

import torch
import yaml
from litgpt import Config

from kis_plugin.testing.adapters import Outcome
from tests.world import litgpt as lit_world


class LitHost:
    """``litgpt pretrain``."""

    finds_any_epoch = True

    def __init__(self, monkeypatch):
        self.seen = lit_world.watch_training(monkeypatch)
        self.monkeypatch = monkeypatch

    def run(self, folder, config, steps=20, stop=0, resume=False, big=False):
        self.seen.clear()
        folder.mkdir(parents=True, exist_ok=True)
        kis = folder / "kis.yaml" if config else None
        if kis:
            kis.write_text(yaml.safe_dump(config))
        keys = {"optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 3e-3, "weight_decay": 0.01}}}
        with self.monkeypatch.context() as patch:
            if big:
                patch.setattr(lit_world.Config, "from_name", _bigger(Config.from_name))
            lit_world.run(
                folder,
                lit_world.Rows(),
                kis,
                steps=steps,
                kill_at=stop,
                resume="auto" if resume else False,
                interval=steps // 2,
                save_interval=1,
                **keys,
            )
        targets = [targets for _, targets in self.seen]
        weights = []
        if not stop:
            saved = torch.load(folder / "out" / "final" / "lit_model.pth", weights_only=False)
            weights = [weight.numpy() for weight in saved.get("model", saved).values()]
        return Outcome(targets[:stop] if stop else targets, weights)

    def decode(self, folder, row):
        return lit_world.decode(folder, row[None])[0]


def _bigger(from_name):
    def bigger(name, **keys):
        sizes = {"n_embd": 64, "n_head": 4, "intermediate_size": 128, "parallel_residual": False}
        return from_name(name, **(keys | sizes))

    return bigger
