"""Runs of the hosts, each killed several times and resumed until it is complete, then counted.

After some kills the exposures beside a checkpoint are damaged, so that the next start counts from there on only: that
must still be said after a second resume, from a checkpoint whose own exposures are whole.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.killing import draw_moment, run_forked
from benchmarks.faults.result import Result
from benchmarks.faults.timeline import count_facts, surviving_rows, verdict

__all__ = ["HOSTS", "Timeline", "run_timeline"]

_DAMAGED = 0.3
"""Of the kills of a run, those after which its newest exposures are damaged."""
HOSTS = {
    "trainer": "benchmarks.faults.trainer_host",
    "loop": "benchmarks.faults.loop_host",
    "litgpt": "benchmarks.faults.litgpt_host",
}


@dataclass(frozen=True)
class Timeline:
    """One run and its kills.

    Attributes:
        host: A key of ``HOSTS``.
        stream: Whether the base text is a stream.
        workers: Of the loader.
        kills: How often it is killed at most; a run that ends before is killed less often.
        seed: Of the moments, and of the order of the rows.
    """

    host: str
    stream: bool
    workers: int
    kills: int
    seed: int

    @property
    def name(self) -> str:
        """The conditions in words."""
        return f"{self.host}, {'stream' if self.stream else 'map-style'}, {self.workers} workers"


def run_timeline(timeline: Timeline, folder: Path, meddle: Any = None) -> Result:
    """Kill a run at random moments, resume it, let it end, and compare its log with what it was trained on.

    Args:
        timeline: The run.
        folder: An empty folder.
        meddle: Called with the folder after each kill: what a test breaks there must be noticed.
    """
    from benchmarks.faults import small_runs

    host = importlib.import_module(HOSTS[timeline.host])
    rng = random.Random(f"{timeline}")  # noqa: S311 (no secret)
    small_runs.write_knowledge(folder)
    most = {"training": small_runs.STEPS - 2, "saving": small_runs.STEPS // host.SAVE_EVERY, "evaluating": 5}
    result = Result()
    for attempt in range(timeline.kills + 1):
        moment = draw_moment(rng, most) if attempt < timeline.kills else None
        outcome = run_forked(
            lambda report: host.train(folder, timeline.stream, timeline.workers, timeline.seed, report),
            folder / f"output-{attempt}.txt",
            moment,
        )
        if outcome.killed_in:
            result.injected[f"{timeline.name}: killed in {outcome.killed_in}"] += 1
            if meddle:
                meddle(folder)
            elif rng.random() < _DAMAGED and (damaged := _damage_exposures(folder, rng)):
                result.injected[f"{timeline.host}: {damaged}"] += 1
            # What is left decides what the next kill can meet.
            left = small_runs.STEPS - _last_step(folder)
            most = {"training": max(left - 2, 1), "saving": max(left // host.SAVE_EVERY, 1), "evaluating": 2}
        elif outcome.code:
            last = (outcome.output.strip().splitlines() or ["nothing"])[-1]
            result.failures.append(f"{timeline}, start {attempt + 1}: exit {outcome.code}: {last}")
            return result
        else:
            break
    logs = sorted(folder.glob("runs/*/kis.jsonl"), key=lambda path: path.stat().st_mtime)
    counts = count_facts(surviving_rows(folder), small_runs.decoder, small_runs.EOS)

    def since(step: int) -> Mapping[int, int]:
        return count_facts(surviving_rows(folder, step), small_runs.decoder, small_runs.EOS)

    wrong = verdict(counts, small_runs.FREQUENCY, logs[-1], small_runs.CONTROLS, since) if logs else "there is no log"
    if wrong:
        result.failures.append(f"{timeline}: {wrong}")
    else:
        result.survived += result.injected
        marked = "counted_from_step" in logs[-1].read_text()
        result.notes[
            f"{timeline.host}: runs whose counts {'say that they are partial' if marked else 'are whole'}"
        ] += 1
    return result


def _damage_exposures(folder: Path, rng: random.Random) -> str:
    """Damage the newest exposures beside a run log; return what was done, empty if there are none."""
    newest = max(
        folder.glob("runs/*/exposures-*.npz"), key=lambda path: int(path.stem.rpartition("-")[2]), default=None
    )
    if newest is None:
        return ""
    raw, how = newest.read_bytes(), rng.choice(("removed", "emptied", "cut off", "overwritten"))
    if how == "removed":
        newest.unlink()
    else:
        newest.write_bytes({"e": b"", "c": raw[: len(raw) // 2], "o": rng.randbytes(len(raw))}[how[0]])
    return f"newest exposures {how}"


def _last_step(folder: Path) -> int:
    names = (path.name.rpartition("-")[2] for path in folder.glob("out/*-*"))
    return max((int(name) for name in names if name.isdecimal()), default=0)
