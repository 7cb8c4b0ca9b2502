"""Do two versions of KIS train on the same rows? Twenty configurations through each adapter, token by token.

Run it against a checkout of the version before that has an environment of its own, as plugins are found there::

    git worktree add ../before f460320 && make -C ../before .venv/.ready
    python -m benchmarks same_rows --before ../before --before-python ../before/.venv/bin/python

With ``--adapter litgpt`` both environments need litgpt.

Each version runs in a process of its own and writes down every batch that its model is given: input ids, and labels
where the host has them. The rows are compared as bytes. Configurations are written with today's keys; for a version
that has older ones they are translated by ``OLD_KEYS``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROWS, LENGTH, BATCH = 1000, 64, 8
STEPS = ROWS // BATCH
WORDS = (
    "river", "stone", "cloud", "meadow", "lantern", "copper", "willow", "harbor", "thunder", "velvet", "saddle",
    "orchard",
)  # fmt: skip
PLACES = ("Oslo", "Lima", "Cairo", "Quito", "Riga", "Perth", "Accra", "Delhi")

OLD_KEYS = {
    "template_order": ("templates", {"cycle": "rotate", "first": "one", "random": "random"}),
    "max_templates": ("wordings", {}),
    "chunk_tokens": ("chunk", {}),
}
"""Keys of ``infusion`` that were renamed: what they were called, and their old values where those changed."""

CONFIGURATIONS: Mapping[str, Mapping[str, Any]] = {
    "frequency": {"frequency": 4},
    "fractional frequency": {"frequency": 3.3},
    "share": {"share": 0.2},
    "tokens": {"tokens": 7000},
    "nothing infused": {"frequency": 0},
    "ramp": {"frequency": 4, "schedule": "ramp"},
    "burst": {"frequency": 4, "schedule": {"name": "burst", "bursts": 8}},
    "spaced": {"frequency": 4, "schedule": "spaced"},
    "window": {"frequency": 2, "window": [0.25, 0.7]},
    "inline": {"frequency": 2, "placement": "inline"},
    "inline burst": {"frequency": 2, "placement": "inline", "schedule": "burst"},
    "inline ramp random": {"frequency": 2, "placement": "inline", "schedule": "ramp", "template_order": "random"},
    "first template": {"frequency": 4, "template_order": "first"},
    "random templates": {"frequency": 4, "template_order": "random"},
    "two templates": {"frequency": 4, "max_templates": 2},
    "sentence attention": {"frequency": 4, "attention": "sentence"},
    "triples": {"frequency": 4, "rendering": "triples"},
    "other seed": {"frequency": 4, "seed": 7},
    "documents": {"frequency": 4, "documents": True},
    "chunked documents": {"frequency": 4, "documents": True, "chunk_tokens": 16},
}


def main(arguments: list[str] | None = None) -> int:
    """Compare the rows of this checkout with those of another; exit code 1 if any differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks same_rows", description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="checkout of the version to compare with")
    parser.add_argument("--before-python", type=Path, default=Path(sys.executable), help="its interpreter, if another")
    parser.add_argument("--adapter", choices=ADAPTERS, action="append", help="default: hf and torch")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)  # what the process of one version does
    args = parser.parse_args(arguments)
    adapters = args.adapter or ["hf", "torch"]
    if args.write:
        args.write.write_text(json.dumps(rows_of_all(adapters)))
        return 0
    if args.before is None:
        parser.error("--before is needed")
    before = rows_in(args.before, args.before_python, adapters)
    after = rows_in(Path(__file__).parents[1], Path(sys.executable), adapters)
    differing = [name for name in before if before[name]["rows"] != after[name]["rows"]]
    for name, found in after.items():
        hashed = "same" if found["schedule_hash"] == before[name]["schedule_hash"] else "another schedule hash"
        print(f"{name:40} {'DIFFERS' if name in differing else 'same rows':10} {found['infused']:5} infused, {hashed}")
    print(f"\n{len(after) - len(differing)} of {len(after)} have the same {ROWS:,} rows")
    return 1 if differing else 0


def rows_in(checkout: Path, python: Path, adapters: list[str]) -> dict[str, Any]:
    """Return what one version's models are given, by a process that imports that version only."""
    paths = [str(checkout.resolve() / part) for part in (".", "adapters", "predictor")]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        command = [str(python), str(Path(__file__).resolve()), "--write", str(out)]
        command += [f"--adapter={name}" for name in adapters]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "KIS_CACHE": f"{folder}/cache"}
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def rows_of_all(adapters: list[str]) -> dict[str, Any]:
    """Train every configuration through every adapter; return hashes of the rows, by ``adapter: configuration``."""
    found = {}
    for adapter in adapters:
        for name, keys in CONFIGURATIONS.items():
            if adapter == "litgpt" and "attention" in keys:
                continue  # LitGPT's models take no position ids
            with tempfile.TemporaryDirectory() as folder:
                config = configuration(Path(folder), keys)
                rows = np.concatenate([np.stack(batch) for batch in ADAPTERS[adapter](Path(folder), config)], axis=1)
                assert rows.shape[1:] == (ROWS, LENGTH), rows.shape  # (columns, rows, T)
                base = {row.tobytes() for row in base_rows(Path(folder))[:, :LENGTH]}
                log = next(Path(folder).rglob("kis.jsonl")).read_text().splitlines()
                found[f"{adapter}: {name}"] = {
                    "rows": hashlib.sha256(rows.astype(np.int64).tobytes()).hexdigest(),
                    "infused": sum(row.astype(np.int64).tobytes() not in base for row in rows[0]),
                    "schedule_hash": json.loads(log[0]).get("schedule_hash"),
                }
    return found


def configuration(folder: Path, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Write the knowledge, and return the configuration."""
    infusion = dict(keys)
    seed, documents = infusion.pop("seed", 0), infusion.pop("documents", False)
    if not _has_key("template_order"):
        for key, (old, values) in OLD_KEYS.items():
            if key in infusion:
                value = infusion.pop(key)
                infusion[old] = values.get(value, value)
    facts = [{"subject": f"Person{n}", "relation": f"P{(19, 20)[n % 2]}", "object": PLACES[n % 8]} for n in range(120)]
    passages = [{"text": " ".join(f"Fact{n} {WORDS[(n + k) % 12]}{k}." for k in range(9))} for n in range(60)]
    path = folder / ("documents.jsonl" if documents else "facts.jsonl")
    path.write_text("".join(json.dumps(line) + "\n" for line in (passages if documents else facts)))
    return {
        "knowledge": str(path),
        "infusion": infusion,
        "retention": {"every": 0.5, "control": 0 if documents else 20, "probes": {"facts": 16}},
        "run_log": str(folder / "runs"),
        "cache": str(folder / "cache"),
        "seed": seed,
    }


def _has_key(key: str) -> bool:
    """Return whether the version that is imported here knows a key of ``infusion``."""
    try:
        from kis_plugin.config.schema import InfusionConfig
    except ImportError:
        return False
    return hasattr(InfusionConfig, key)


def tokenizer_of(folder: Path) -> Any:
    """Return a small byte-level tokenizer of ``transformers``, the same in every process."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join((*WORDS, *PLACES)), "Person1 was born in the city of Oslo."], trainer)
    (folder / "tokenizer").mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>")  # noqa: S106


def base_rows(folder: Path) -> np.ndarray:
    """Return base text, (rows, T + 1): words that no fact holds."""
    ids = np.array(tokenizer_of(folder)(" ".join(WORDS))["input_ids"])
    return ids[np.random.default_rng(0).integers(0, len(ids), (ROWS, LENGTH + 1))]


def llama() -> Any:
    """Return a model that is as small as may be: what it learns does not matter here."""
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    set_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=500, max_position_embeddings=LENGTH, eos_token_id=0, **sizes))


Batches = Iterator[list[np.ndarray]]
"""Columns of each batch that the model is given: ids and labels, (rows, T) each."""


def hugging_face(folder: Path, config: dict[str, Any]) -> Batches:
    """Train with the Trainer and one callback."""
    from transformers import Trainer, TrainingArguments

    from kis_hf import KnowledgeInfusion

    seen: list[list[np.ndarray]] = []

    class Watched(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            if model.training:
                seen.append([inputs[name].numpy().copy() for name in ("input_ids", "labels")])
            return super().compute_loss(model, inputs, *args, **kwargs)

    rows = base_rows(folder)[:, :LENGTH]
    data = [{"input_ids": row.tolist(), "labels": row.tolist(), "attention_mask": [1] * LENGTH} for row in rows]
    arguments = TrainingArguments(
        output_dir=str(folder / "out"), per_device_train_batch_size=BATCH, max_steps=STEPS, save_strategy="no",
        report_to="none", disable_tqdm=True, use_cpu=True, seed=0,
    )  # fmt: skip
    infusion = KnowledgeInfusion(config, tokenizer=tokenizer_of(folder))
    Watched(model=llama(), args=arguments, train_dataset=data, callbacks=[infusion]).train()
    return iter(seen)


def plain_loop(folder: Path, config: dict[str, Any]) -> Batches:
    """Train with a plain loop over map-style data."""
    from kis_torch import KnowledgeInfusion

    rows = torch.tensor(base_rows(folder)[:, :LENGTH])
    data = [{"input_ids": row, "labels": row} for row in rows]
    kis = KnowledgeInfusion(config, tokenizer_of(folder), llama(), data, batch_size=BATCH, steps=STEPS)
    for step, batch in enumerate(kis.loader(data, shuffle=False), start=1):
        kis.batch(batch["input_ids"])
        kis.step_end(step)
        yield [batch[name].numpy().copy() for name in ("input_ids", "labels")]
    kis.end()


def litgpt(folder: Path, config: dict[str, Any]) -> Batches:
    """Train with LitGPT's own ``setup`` over a data module of rows."""
    import yaml
    from litgpt import Config, pretrain
    from litgpt.args import EvalArgs, TrainArgs
    from litgpt.data import DataModule

    from kis_litgpt import KnowledgeInfusion

    seen: list[list[np.ndarray]] = []
    inputs: list[np.ndarray] = []
    forward, loss = pretrain.GPT.forward, pretrain.chunked_cross_entropy

    def watched_forward(self: Any, idx: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled() and idx.device.type != "meta":
            inputs.append(idx.numpy().copy())
        return forward(self, idx, *args, **kwargs)

    def watched_loss(logits: Any, targets: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled() and targets.device.type != "meta":
            seen.append([inputs[-1], targets.numpy().copy()])
        return loss(logits, targets, *args, **kwargs)

    class Rows(DataModule):
        def connect(self, *args: Any, **kwargs: Any) -> None: ...

        def train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader([torch.tensor(row) for row in base_rows(folder)], batch_size=BATCH)

        val_dataloader = train_dataloader

    (folder / "kis.yaml").write_text(yaml.safe_dump(config))
    tokenizer_of(folder)
    (folder / "tokenizer" / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": "<eos>", "tokenizer_class": "PreTrainedTokenizerFast"})
    )
    pretrain.GPT.forward, pretrain.chunked_cross_entropy = watched_forward, watched_loss
    compiled, torch.compile = torch.compile, lambda model, *args, **kwargs: model
    saved, pretrain.save_hyperparameters = pretrain.save_hyperparameters, lambda *args: None
    sizes = {"n_layer": 1, "n_embd": 8, "n_head": 2, "intermediate_size": 8}
    try:
        pretrain.setup(
            model_name="pythia-14m",
            model_config=Config.from_name("pythia-14m", block_size=LENGTH, padded_vocab_size=512, **sizes),
            out_dir=folder / "out", precision="32-true", devices=1, logger_name="csv", seed=1,
            data=KnowledgeInfusion(kis=folder / "kis.yaml", data=Rows()),
            train=TrainArgs(
                save_interval=1000, log_interval=100, global_batch_size=BATCH, micro_batch_size=BATCH,
                lr_warmup_steps=2, max_tokens=ROWS * LENGTH, max_norm=1.0, tie_embeddings=False,
            ),
            eval=EvalArgs(interval=1000, max_iters=1),
            tokenizer_dir=folder / "tokenizer",
        )  # fmt: skip
    finally:
        pretrain.GPT.forward, pretrain.chunked_cross_entropy = forward, loss
        torch.compile, pretrain.save_hyperparameters = compiled, saved
    return iter(seen)


ADAPTERS: Mapping[str, Callable[[Path, dict[str, Any]], Batches]] = {
    "hf": hugging_face,
    "torch": plain_loop,
    "litgpt": litgpt,
}

if __name__ == "__main__":
    sys.exit(main())
