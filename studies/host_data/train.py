"""Trains a small Llama on the batches that Megatron-core or OLMo-core reads from what ``kis write`` wrote.

    python -m studies.host_data.train INFUSED OUT --size 100k

The loop is that of any framework without an adapter: no part of KIS runs in it. INFUSED says which framework reads it.
OUT gets checkpoints ``step-K`` that ``kis probe`` loads.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler
from transformers import AutoTokenizer

from kis_hf.sweep_training import build_model
from kis_plugin.amounts import parse_amount
from kis_sweep.shapes import shape_of

__all__ = ["LOADERS", "train"]

Manifest = dict[str, Any]
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]
"""Inputs and their targets, both (B, T); -100 is no target."""

RATE, WARMUP, LEAST_RATE = 0.5, 0.05, 0.1
"""Peak learning rate times width, fraction of the steps that it rises, and what is left of it at the end."""


class _Tokenizer:
    """What a data set of Megatron asks of a tokenizer: it pads nothing here, and stops at no EOS."""

    def __init__(self, manifest: Manifest) -> None:
        self.eod, self.pad, self.vocab_size = manifest["eos"], manifest["vocabulary"], manifest["vocabulary"]
        self.unique_identifiers = {"class": "kis", "fingerprint": manifest["tokenizer"]}


def of_megatron(folder: Path, manifest: Manifest, batch: int) -> Batches:
    """Yield what ``pretrain_gpt.py`` trains on, with the options that ``kis write`` printed."""
    from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

    flags = manifest["flags"]
    config = GPTDatasetConfig(
        random_seed=int(flags["--seed"]), sequence_length=int(flags["--seq-length"]),
        blend=([str(folder / "kis")], None), split=flags["--split"], tokenizer=_Tokenizer(manifest),
        reset_position_ids=False, reset_attention_mask=False, eod_mask_loss=False, create_attention_mask=False,
    )  # fmt: skip
    sizes = [int(flags["--train-samples"]), 0, 0]
    dataset = BlendedMegatronDatasetBuilder(GPTDataset, sizes, lambda: True, config).build()[0]
    # The order of Megatron's --dataloader-type single, whose sampler is no part of the package megatron-core.
    order = BatchSampler(SequentialSampler(dataset), batch, drop_last=True)
    for rows in DataLoader(dataset, batch_sampler=order):
        yield rows["tokens"], rows["labels"].masked_fill(rows["loss_mask"] == 0, -100)


def of_olmo(folder: Path, manifest: Manifest, batch: int) -> Batches:
    """Yield what OLMo-core's trainer is given, with the options that ``kis write`` printed."""
    from olmo_core.data import NumpyDataLoaderConfig, NumpyFSLDatasetConfig, TokenizerConfig
    from olmo_core.data.types import NumpyDatasetDType
    from olmo_core.data.utils import get_labels

    kind = NumpyDatasetDType.uint16 if manifest["vocabulary"] <= 1 << 16 else NumpyDatasetDType.uint32
    eos, length, work = manifest["eos"], manifest["sequence_length"], str(folder / "olmo-work")
    dataset = NumpyFSLDatasetConfig(
        paths=[str(folder / "kis.npy")], sequence_length=length, dtype=kind, work_dir=work,
        tokenizer=TokenizerConfig(vocab_size=manifest["vocabulary"], eos_token_id=eos, pad_token_id=eos),
    ).build()  # fmt: skip
    loader = NumpyDataLoaderConfig(global_batch_size=batch * length, seed=manifest["host_seed"], work_dir=work).build(
        dataset
    )
    loader.reshuffle(epoch=1)
    for rows in loader:
        yield rows["input_ids"], get_labels(rows)
    loader.reset()


LOADERS: dict[str, Callable[[Path, Manifest, int], Batches]] = {"megatron": of_megatron, "olmo": of_olmo}
"""By the format of the data set."""


def train(folder: Path, out: Path, size: int, batch: int, saves: int) -> float:
    """Train on every row once, and save the model at even distances; return seconds of CPU."""
    began = time.process_time()
    manifest: Manifest = json.loads((folder / "kis.manifest.json").read_text("utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(manifest["tokenizer_name"])
    shape = shape_of(size, manifest["vocabulary"])
    model = build_model(shape, manifest["sequence_length"], 0, tokenizer.eos_token_id)
    rate, steps = RATE / shape.width, manifest["rows"] // batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1)
    saved = set(np.linspace(0, steps, saves + 1).round()[1:].astype(int).tolist())
    for step, (ids, targets) in enumerate(LOADERS[manifest["format"]](folder, manifest, batch), start=1):
        done = step / steps
        falling = LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))
        optimizer.param_groups[0]["lr"] = rate * min(done / WARMUP, 1) * falling
        logits = model(input_ids=ids).logits  # (B, T, V)
        cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step in saved:
            model.save_pretrained(out / f"step-{step}")
            tokenizer.save_pretrained(out / f"step-{step}")
    return time.process_time() - began


def main() -> None:
    """Read the command line and train."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, help="what kis write wrote")
    options.add_argument("out", type=Path, help="folder of the checkpoints, new")
    options.add_argument("--size", type=parse_amount, required=True, help="parameters, such as 100k")
    options.add_argument("--batch", type=int, default=8, help="rows of a step (default: 8)")
    options.add_argument("--saves", type=int, default=5, help="checkpoints (default: 5)")
    args = options.parse_args()
    train(args.folder, args.out, args.size, args.batch, args.saves)


if __name__ == "__main__":
    main()
