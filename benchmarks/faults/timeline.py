"""What a run was trained on, written down by the run itself and counted by text search: nothing of KIS is used.

A process writes each batch to ``batches.jsonl`` before it trains on it. What a killed process did beyond the checkpoint
from which the next one goes on is no part of the model: those batches are dropped, and the others count.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["BATCHES", "FACTS", "TOWNS", "Witness", "count_facts", "surviving_rows", "verdict"]

BATCHES = "batches.jsonl"
FACTS, TOWNS = 24, 8
"""Facts of the small knowledge, Person0 to Person23, and the towns that they were born in."""
_TOLD = re.compile(r"(?<![\w])Person(\d+)(?!\d)")


class Witness:
    """Writes down what one process is given.

    Args:
        folder: Of the run.
        begun: The optimizer step at which this process begins.
    """

    def __init__(self, folder: Path, begun: int) -> None:
        self._path = folder / BATCHES
        self._write({"begun": begun})

    def batch(self, step: int, rows: Sequence[Sequence[int]]) -> None:
        """Write the rows of a batch that is trained on after ``step`` optimizer steps."""
        self._write({"step": step, "rows": rows})

    def _write(self, record: Mapping[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")


def surviving_rows(folder: Path, since: int = 0) -> list[list[int]]:
    """Return the rows behind the final weights from optimizer step ``since`` on, in the order of training."""
    kept: list[tuple[int, list[list[int]]]] = []
    for line in (folder / BATCHES).read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # torn by the kill: never trained on
        if "begun" in record:
            kept = [(step, rows) for step, rows in kept if step < record["begun"]]
        else:
            kept.append((record["step"], record["rows"]))
    return [row for step, rows in kept if step >= since for row in rows]


def count_facts(rows: Sequence[Sequence[int]], decode: Callable[[Sequence[int]], str], eos: str) -> Counter[int]:
    """Return how often each fact stands in rows: texts, each ended by EOS, that name a person and their town."""
    counts: Counter[int] = Counter()
    for row in rows:
        for text in decode(row).split(eos)[:-1]:
            people = {int(number) for number in _TOLD.findall(text)}
            for number in people:
                counts[number] += bool(re.search(rf"Town{number % TOWNS}(?!\d)", text))
    return counts


def verdict(
    counts: Mapping[int, int],
    frequency: int,
    log: Path,
    controls: int,
    since: Callable[[int], Mapping[int, int]] | None = None,
) -> str:
    """Return how a run's log contradicts what was counted, or what was counted the request; empty if neither does.

    A run whose counts are gone may say so (``counted_from_step``): then its log must have those from that step on.

    Args:
        counts: Exposures of each fact, by text search.
        frequency: Exposures that were requested.
        log: The run's ``kis.jsonl``.
        controls: Facts that must not be shown.
        since: Returns the exposures of each fact from a step on; where not given, partial counts are not looked at.
    """
    shown = {number: counts.get(number, 0) for number in range(FACTS)}
    unshown = [number for number, count in shown.items() if count == 0]
    if len(unshown) != controls:
        return f"{len(unshown)} facts were never shown, {controls} are controls"
    if wrong := {number: count for number, count in shown.items() if count not in (0, frequency)}:
        return f"requested {frequency} exposures, shown: {wrong}"
    try:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    except (OSError, ValueError) as error:
        return f"{log.name} cannot be read: {error}"
    ends = [line for line in lines if line.get("type") == "end"]
    if not ends or ends[-1].get("status") != "completed":
        return f"the log does not say that the run is complete: {ends[-1:]}"
    end = ends[-1]
    achieved = end.get("achieved_frequency") or {}
    if begun := end.get("counted_from_step"):
        if since is None:
            return ""
        later = [since(begun).get(number, 0) for number in shown if number not in unshown]
        right = (achieved.get("min"), achieved.get("max")) == (min(later), max(later))
        return (
            "" if right else f"from step {begun} on shown {min(later)} to {max(later)} times, the log says {achieved}"
        )
    if (achieved.get("min"), achieved.get("max")) != (frequency, frequency) or end.get("miscounted"):
        return f"shown {frequency} times each, the log says {achieved}, miscounted {end.get('miscounted')}"
    return ""
