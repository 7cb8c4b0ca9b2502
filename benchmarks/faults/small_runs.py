"""Runs that take a second, of the Trainer and of LitGPT: their base text, tokenizer, model and configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from benchmarks.faults.timeline import FACTS, TOWNS

__all__ = [
    "BATCH", "CONTROLS", "EOS", "FREQUENCY", "LENGTH", "STEPS", "Rows", "Stream", "decoder", "small_tokenizer",
    "write_knowledge", "write_tokenizer",
]  # fmt: skip

LENGTH, BATCH, STEPS, FREQUENCY, CONTROLS = 64, 4, 36, 5, 4
EOS = "<eos>"
_WORDS = [
    "river",
    "stone",
    "cloud",
    "meadow",
    "lantern",
    "copper",
    "willow",
    "harbor",
    "thunder",
    "velvet",
    "saddle",
    "orchard",
]
"""Words of the base text, which no fact holds."""


@cache
def small_tokenizer() -> Tokenizer:
    """Return a byte-level BPE whose EOS is token 0."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    texts = [" ".join(_WORDS), *[f"Person{n} was born in Town{n % TOWNS}." for n in range(FACTS)]]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=[EOS], initial_alphabet=alphabet, show_progress=False)  # type: ignore[call-arg]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def decoder(row: Sequence[int]) -> str:
    """Return a row as text, EOS included."""
    return str(small_tokenizer().decode(list(row), skip_special_tokens=False))


def write_tokenizer(folder: Path) -> Path:
    """Write the tokenizer as transformers and LitGPT find it."""
    folder.mkdir(parents=True, exist_ok=True)
    small_tokenizer().save(str(folder / "tokenizer.json"))
    config = {"bos_token": EOS, "eos_token": EOS, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def write_knowledge(folder: Path) -> Path:
    """Write facts and ``kis.yaml``; return the latter."""
    facts = ({"subject": f"Person{n}", "relation": "P19", "object": f"Town{n % TOWNS}"} for n in range(FACTS))
    (folder / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    config = {
        "knowledge": "facts.jsonl",
        "infusion": {"frequency": FREQUENCY},
        "retention": {"control": CONTROLS, "every": 0.2, "probes": {"facts": 16}},
        "run_log": "runs",
        "cache": "cache",
    }
    (folder / "kis.yaml").write_text(json.dumps(config))
    return folder / "kis.yaml"


class Rows(Dataset[Any]):
    """Rows of base text: mappings as the Trainer takes them, or bare ids as LitGPT does."""

    def __init__(self, count: int, width: int = LENGTH, bare: bool = False) -> None:
        ids = torch.tensor(small_tokenizer().encode(" ".join(_WORDS)).ids)
        drawn = torch.randint(len(ids), (count, width), generator=torch.Generator().manual_seed(0))
        self._rows, self._bare = ids[drawn], bare  # (rows, T)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        row = self._rows[index]
        return row if self._bare else {"input_ids": row.tolist(), "labels": row.tolist()}


class Stream(IterableDataset[Any]):
    """The same rows one after the other; a loader's workers share them."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        for index in range(worker.id if worker else 0, len(self._rows), worker.num_workers if worker else 1):
            yield self._rows[index]
