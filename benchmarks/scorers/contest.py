"""Scorers side by side on one case: each a process of its own, all loaded, taking turns."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.scorers import Scorer
from benchmarks.scorers.contract import Item

__all__ = ["Contest", "Figures", "Turns", "figures", "hold", "installed"]

ROOT = Path(__file__).parent.parent.parent
TUNED_ON = 64  # items
REFERENCE = "plain"


@dataclass(frozen=True)
class Contest:
    """How scorers are compared.

    Attributes:
        model: Folder of the model and its tokenizer.
        interpreters: Of each scorer, its Python.
        device: As torch names it.
        threads: Of torch and of the tokenizer, for each scorer.
        repeats: Turns of each scorer that are timed; one more before them is not.
    """

    model: Path
    interpreters: Mapping[str, str]
    device: str
    threads: int
    repeats: int


@dataclass
class Turns:
    """What one scorer did in a case.

    Attributes:
        batch: The batch size that was best for it; None where it chooses by itself.
        logprobs: (items, options) nats.
        seconds: Of each timed turn, wall time for all items.
        tokenizing: Seconds of each turn that went into making token ids.
        loaded: Peak bytes of its process before it scored anything: libraries and model.
        peak: Peak bytes of its process.
        gpu_peak: Peak bytes on the GPU, if there is one.
    """

    batch: int | None
    logprobs: npt.NDArray[np.float64]
    loaded: int
    peak: int = 0
    gpu_peak: int = 0
    seconds: list[float] = field(default_factory=list)
    tokenizing: list[float] = field(default_factory=list)

    @property
    def scoring(self) -> list[float]:
        """Seconds of each turn without tokenizing."""
        return [whole - part for whole, part in zip(self.seconds, self.tokenizing, strict=True)]


@dataclass(frozen=True)
class Figures:
    """One scorer in one case, medians over turns.

    Attributes:
        whole: Items a second, tokenizing included.
        scoring: Items a second without tokenizing.
        megabytes: Peak of the process.
        added: Of them, what scoring added to libraries and model.
        gpu_megabytes: Peak on the GPU; 0 without one.
        accuracy: Items whose right option is the likeliest.
        other_answers: Items whose likeliest option is another one than the reference's.
        difference: Largest difference of an option's log-probability from the reference's, in nats.
        kis_whole: How many times as fast KIS was, median over pairs of turns; both sides with their tokenizing.
        kis_scoring: The same without the tokenizing of either side.
        kis_prepared: KIS scoring questions that it has prepared, beside the other side as it is used.
    """

    batch: int | None
    whole: float
    scoring: float
    megabytes: float
    added: float
    gpu_megabytes: float
    accuracy: float
    other_answers: int
    difference: float
    kis_whole: float
    kis_scoring: float
    kis_prepared: float


@dataclass(frozen=True)
class _Process:
    """A scorer that waits for its turn."""

    name: str
    popen: subprocess.Popen[str]
    log: Path

    def request(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer."""
        assert self.popen.stdin is not None
        try:
            self.popen.stdin.write(json.dumps(request) + "\n")
            self.popen.stdin.flush()
        except BrokenPipeError:
            pass  # its last words are in the log: the answer that is missing is reported
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Wait for an answer.

        Raises:
            SystemExit: The process ended, with what it wrote last.
        """
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        if not line:
            last = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-15:]
            raise SystemExit("\n".join([f"{self.name} failed (exit {self.popen.wait()}):", *last]))
        found: dict[str, Any] = json.loads(line)
        return found


@contextmanager
def _started(contest: Contest, scorer: Scorer, job: Path) -> Iterator[_Process]:
    threads, log = str(contest.threads), job.with_name(f"{scorer.module}.log")
    env = {**os.environ, "OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "true"}
    command = [contest.interpreters[scorer.name], "-m", f"benchmarks.scorers.{scorer.module}", str(job)]
    with log.open("w") as errors:
        popen = subprocess.Popen(
            command, cwd=ROOT, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
    try:
        yield _Process(scorer.name, popen, log)
    finally:
        popen.communicate()  # it ends with its stdin


def installed(python: str, scorer: Scorer) -> str | None:
    """Return the version of the scorer's distribution that an interpreter holds; None if it holds none."""
    if not scorer.distribution:
        return "of this checkout"
    code = f"import importlib.metadata as m; print(m.version({scorer.distribution!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def hold(contest: Contest, scorers: Sequence[Scorer], items: Sequence[Item], folder: Path) -> dict[str, Turns]:
    """Let all scorers score the items in turn; the reference scores them once.

    Every scorer's batch size is chosen in a process before, so that those it tried do not count as memory it needs.

    Args:
        contest: How.
        scorers: The reference among them.
        items: What.
        folder: Takes the job and what the processes have to say.
    """
    job = folder / "job.json"
    setup = {"model": str(contest.model), "device": contest.device, "threads": contest.threads}
    job.write_text(json.dumps(setup | {"items": [asdict(item) for item in items]}), encoding="utf-8")
    batches = {scorer.name: _best_batch(contest, scorer, job) for scorer in scorers}
    with ExitStack() as stack:
        processes = [stack.enter_context(_started(contest, scorer, job)) for scorer in scorers]
        turns = {process.name: _first(process, batches[process.name]) for process in processes}
        timed = [process for process in processes if process.name != REFERENCE]
        for number in range(contest.repeats):
            for process in timed if number % 2 == 0 else timed[::-1]:
                _take(process, turns[process.name])
    return turns


def _best_batch(contest: Contest, scorer: Scorer, job: Path) -> int | None:
    with _started(contest, scorer, job) as process:
        sizes = process.answer()["batches"]
        if not sizes:
            return None
        for size in sizes:
            process.request(batch=size, items=TUNED_ON)  # warm
        rounds = [{size: process.request(batch=size, items=TUNED_ON)["seconds"] for size in sizes} for _ in range(3)]
    return int(min(sizes, key=lambda size: min(one[size] for one in rounds)))


def _first(process: _Process, batch: int | None) -> Turns:
    """Let it load and score once, untimed."""
    loaded = process.answer()["peak"]
    answer = process.request(batch=batch, keep=True)
    return Turns(batch, np.array(answer["logprobs"]), loaded, answer["peak"], answer.get("gpu_peak", 0))


def _take(process: _Process, turns: Turns) -> None:
    answer = process.request(batch=turns.batch)
    turns.seconds.append(answer["seconds"])
    turns.tokenizing.append(answer["tokenizing"])
    turns.peak, turns.gpu_peak = answer["peak"], answer.get("gpu_peak", 0)


def figures(turns: Mapping[str, Turns], items: Sequence[Item]) -> dict[str, Figures]:
    """Sum up what was timed, by scorer."""
    reference, kis = turns[REFERENCE].logprobs, turns["KIS"]
    answers = np.array([item.answer for item in items])
    return {
        name: Figures(
            batch=one.batch,
            whole=len(items) / statistics.median(one.seconds),
            scoring=len(items) / statistics.median(one.scoring),
            megabytes=one.peak / 1e6,
            added=(one.peak - one.loaded) / 1e6,
            gpu_megabytes=one.gpu_peak / 1e6,
            accuracy=float((one.logprobs.argmax(axis=1) == answers).mean()),
            other_answers=int((one.logprobs.argmax(axis=1) != reference.argmax(axis=1)).sum()),
            difference=float(np.abs(one.logprobs - reference).max()),
            kis_whole=_times(one.seconds, kis.seconds),
            kis_scoring=_times(one.scoring, kis.scoring),
            kis_prepared=_times(one.seconds, kis.scoring),
        )
        for name, one in turns.items()
        if one.seconds
    }


def _times(seconds: Sequence[float], kis: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(seconds, kis, strict=True))
