"""What a row of the table can do, and a count of exposures that trusts no code of ours."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from kis_plugin.config.load import config_from
from kis_plugin.run.log import RunLog, read_run_log
from kis_plugin.tokenized.infusion_split import load_split

FACTS = 24
BATCH, BLOCK, ROWS = 4, 64, 80


@dataclass
class Outcome:
    """What came of one run.

    Attributes:
        batches: Every batch that a loss was taken of, (B, T).
        weights: The model's, where the run went to its end.
        end_again: Tells the adapter once more that the run is over.
    """

    batches: list[np.ndarray]
    weights: list[torch.Tensor]
    end_again: Callable[[], None] = lambda: None


class Adapter(Protocol):
    """One row of the table: trains a small model on 80 rows of 64 tokens, 4 a batch, one batch a step."""

    finds_any_pass: bool
    """Whether the host goes on where it was in any pass over the data, not in the first alone."""

    def run(
        self,
        folder: Path,
        config: dict[str, Any] | None,
        steps: int = 20,
        stop: int = 0,
        resume: bool = False,
        big: bool = False,
    ) -> Outcome:
        """Train in ``folder``, or go on there.

        Args:
            folder: Checkpoints go here.
            config: Of KIS; None trains without it.
            steps: Of the whole run; retention is measured at its start, middle and end.
            stop: Ends the run after this step, with a checkpoint: the host's own kill.
            resume: Goes on from that checkpoint.
            big: A model that can learn the facts.
        """

    def decode(self, folder: Path, row: np.ndarray) -> str:
        """Return the text of a row, ``<eos>`` where texts end."""


def kis_config(folder: Path, frequency: float, **keys: Any) -> dict[str, Any]:
    """Write facts, return a configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [{"subject": f"Person{n}", "relation": "P19", "object": f"Town{n % 8}"} for n in range(FACTS)]
    (folder / "facts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {
        "knowledge": str(folder / "facts.jsonl"),
        "infusion": {"frequency": frequency, **keys.pop("infusion", {})},
        "retention": {"every": 0.5, "control": 4, "probes": {"facts": 16}},
        "run_log": str(folder / "runs"),
        "seed": 0,
        **keys,
    }


def log_of(folder: Path) -> RunLog:
    (path,) = (folder / "runs").glob("*/kis.jsonl")
    return read_run_log(path)


def shown(adapter: Adapter, folder: Path, batches: list[np.ndarray], config: dict[str, Any]) -> dict[str, int]:
    """How often each infused fact stands in the batches, and each control's name: by plain search in text."""
    material = load_split(config_from(config))
    text = [adapter.decode(folder, row) for batch in batches for row in batch]
    sentences = Counter(sentence for row in text for sentence in row.split("<eos>")[:-1])
    told = material.book.of("P19").trained
    facts = [material.knowledge.facts[index] for index in material.infused.tolist()]
    controls = [material.knowledge.facts[index].subject for index in material.control.tolist()]
    assert len(controls) == 4
    counts = {
        fact.subject: sum(sentences[one.format(subject=fact.subject, object=fact.object)] for one in told)
        for fact in facts
    }
    return counts | {name: sum(f"{name} " in row for row in text) for name in controls}


def run_files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (folder / "runs").rglob("*") if path.is_file()}
