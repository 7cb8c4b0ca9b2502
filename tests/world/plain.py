"""A run without a framework: letters as tokens, rows of base text, and exposures found by plain search."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from kis_plugin.config.load import config_from
from kis_plugin.run.context import TrainingRun
from kis_plugin.tokenized.tokenizer import Encoded

EOS = 0
BLOCK = 96
BASE = "the river ran. a stone lay there. clouds went by. "  # holds no fact


class Letters:
    """Encodes a letter as its code point."""

    eos = EOS

    def __init__(self, fingerprint: str = "letters") -> None:
        self.fingerprint = fingerprint

    def encode(self, texts):
        return [Encoded(tuple(map(ord, text)), tuple(range(1, len(text) + 1))) for text in texts]

    def encode_ids(self, texts):
        ids = np.array([ord(letter) for text in texts for letter in text], dtype=np.int32)
        return ids, np.array([len(text) for text in texts], dtype=np.int64)

    def decode(self, ids):
        return "".join("\n" if token == EOS else chr(token) for token in ids)

    def breaks(self):
        ends, starts = np.zeros(128, dtype=bool), np.zeros(128, dtype=bool)
        ends[[ord(".")]] = True
        starts[[ord(" ")]] = True
        return ends, starts


class Indifferent:
    """A model to which all tokens are alike."""

    def logits(self, input_ids):
        return input_ids.new_zeros((*input_ids.shape, 128)).float()

    def evaluating(self):
        return contextlib.nullcontext()


class FakeSession:
    """A session that keeps what plugins ask of it: ``records``, and in ``done`` every throttle and stop."""

    def __init__(self, infused_facts=lambda: np.empty(0, dtype=np.int64)) -> None:
        self.records: list[Any] = []
        self.done: list[tuple[str, Any]] = []
        self.diverged: str | None = None
        self._infused_facts = infused_facts

    @property
    def infuser(self):
        return SimpleNamespace(infused_facts=self._infused_facts())

    def publish(self, records):
        self.records.extend(records)

    def extend_records(self, step, outcomes, facts_of, records):
        pass

    def publish_outcomes(self, step, outcomes):
        pass

    def shown(self):
        return None

    def throttle(self, keep):
        self.done.append(("throttle", keep))

    def mark_diverged(self, reason):
        self.diverged = self.diverged or reason

    def stop(self, reason):
        self.done.append(("stop", reason))


def make_run(home: Path, infusion: dict[str, Any], rows: int = 400, **keys: Any) -> TrainingRun:
    config = {
        "knowledge": str(home / "facts.jsonl"),
        "infusion": infusion,
        "retention": {"every": 0.5, "control": 0, "probes": {"facts": 8}},
        "run_log": str(home / "runs"),
        **keys.pop("config", {}),
    }
    values: dict[str, Any] = {
        "config": config_from(config),
        "tokenizer": Letters(),
        "model": Indifferent(),
        "framework": "none",
        "run_id": "r",
        "folder": home / "runs" / "r",
        "params": 1,
        "params_non_embedding": 1,
        "rows": rows,
        "sequence_length": BLOCK,
        "steps": rows // 4,
    }
    return TrainingRun(**(values | keys))


def base_row(row: int) -> np.ndarray:
    text = BASE * 4
    return np.array([ord(letter) for letter in text[row % 7 :][:BLOCK]], dtype=np.int64)


def train(session, first: int = 0, stop: int | None = None) -> list[str]:
    """Show the rows of a run to nobody, 4 a step; return them as text, EOS as a line break."""
    shown = []
    run = session.run
    for step in range(first // 4, (run.rows if stop is None else stop) // 4):
        rows = range(step * 4, step * 4 + 4)
        session.rows_drawn(rows)
        batch = []
        for row in rows:
            base = base_row(row)
            placed = session.row_source.place(row, base)
            batch.append(base if placed is None else placed.joined(placed.tokens, base))
        session.batch(np.stack(batch))
        shown += [Letters().decode(ids.tolist()) for ids in batch]
        session.step_end(step + 1)
    return shown
