"""What KIS itself takes: to decide about a row, and to make an infused one."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.mixers.contract import Workload
from benchmarks.mixers.kis import Kis

SHARE, BLOCK = 0.05, 1024
_ROWS, _STRETCHES = 20_000, 5
_TOKENS_PER_FACT = 7


@dataclass(frozen=True)
class Draws:
    """CPU microseconds, medians of five stretches.

    Attributes:
        facts: Shown in the run.
        row: To decide whether a row is infused.
        infused_row: To say what an infused row is made of.
        fact: The same, for each fact in it.
        facts_per_row: In an infused one.
    """

    facts: int
    row: float
    infused_row: float
    fact: float
    facts_per_row: float


def measure(facts: int) -> Draws:
    """Measure in rows of 1,024 tokens, one in twenty infused."""
    a_row = min(facts, BLOCK // _TOKENS_PER_FACT)
    frequency = 10_000 if facts == 1 else 1
    rows = round(facts * frequency / a_row / SHARE)
    workload = Workload("draws", rows=rows, facts=facts, frequency=frequency, sequence_length=BLOCK)
    with tempfile.TemporaryDirectory() as text:
        Kis().prepare(workload, Path(text) / "facts")
        plan = Kis().plan(workload, Path(text) / "facts", seed=0)
        base = np.zeros(BLOCK, dtype=np.int64)
        queried = range(min(_ROWS, rows))
        infused = [row for row in range(min(5 * _ROWS, rows)) if plan.infused(row)][:2_000]
        shown = [len(plan.place(row, base).lengths) for row in infused]
        of_row = _microseconds(plan.infused, queried)
        of_infused = _microseconds(lambda row: plan.place(row, base), infused)
    return Draws(facts, of_row, of_infused, of_infused * len(infused) / sum(shown), sum(shown) / len(infused))


def _microseconds(call: Callable[[int], Any], rows: Sequence[int]) -> float:
    stretches = []
    for _ in range(_STRETCHES):
        began = time.process_time()
        for row in rows:
            call(row)
        stretches.append((time.process_time() - began) / len(rows) * 1e6)
    return statistics.median(stretches)
