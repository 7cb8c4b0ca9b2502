"""What a scorer is sent and returns, a JSON line each way. Needs torch; knows nothing of KIS nor of any peer."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

__all__ = ["Contender", "Item", "Scored", "Watch", "serve"]


@dataclass(frozen=True)
class Item:
    """A question: its sentence up to the object, and for each option the object and the rest of the sentence."""

    prefix: str
    options: tuple[str, ...]
    answer: int


@dataclass(frozen=True)
class Scored:
    """What a scorer made of all items once.

    Attributes:
        logprobs: For each item, of each option given the prefix, in nats.
        tokenizing: Seconds of it that went into making token ids of texts.
    """

    logprobs: Sequence[Sequence[float]]
    tokenizing: float


class Contender(Protocol):
    """A scorer with its model loaded.

    Attributes:
        batches: Batch sizes to choose the best of; empty where the scorer chooses by itself.
    """

    batches: Sequence[int]

    def score(self, items: Sequence[Item], batch: int | None) -> Scored:
        """Score all items anew, tokenizing included."""


class Watch:
    """Adds up the seconds that a method takes, by standing in its place."""

    def __init__(self, owner: Any, method: str) -> None:
        self.seconds = 0.0
        self._inner = getattr(owner, method)
        setattr(owner, method, self)

    def __call__(self, *args: Any, **keys: Any) -> Any:
        """Call the method."""
        start = perf_counter()
        try:
            return self._inner(*args, **keys)
        finally:
            self.seconds += perf_counter() - start


def serve(load: Callable[[str, str], Contender]) -> None:
    """Score whenever a line on stdin requests it, until stdin ends.

    The first argument is a JSON file: ``model`` (a folder), ``items``, ``device``, ``threads``. A request may name a
    ``batch``, how many ``items`` to take from the front, and ``keep`` the log-probabilities. The answer holds
    ``seconds`` of wall time, those ``tokenizing``, and the process's ``peak`` memory so far, in bytes.

    Args:
        load: Makes the contender of the model's folder and the device.
    """
    # Whatever a library prints goes to stderr: stdout is for answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import torch

    torch.set_num_threads(job["threads"])
    items = [Item(item["prefix"], tuple(item["options"]), item["answer"]) for item in job["items"]]
    contender = load(job["model"], job["device"])
    _answer(answers, {"batches": list(contender.batches), "peak": _peak()} | _gpu(job["device"]))
    for line in sys.stdin:
        request = json.loads(line)
        chosen = items[: request.get("items")]
        _wait(job["device"])
        start = perf_counter()
        scored = contender.score(chosen, request.get("batch"))
        _wait(job["device"])
        seconds = perf_counter() - start
        answer = {"seconds": seconds, "tokenizing": scored.tokenizing, "peak": _peak()} | _gpu(job["device"])
        if request.get("keep"):
            answer["logprobs"] = [list(map(float, row)) for row in scored.logprobs]
        _answer(answers, answer)


def _answer(file: Any, answer: dict[str, Any]) -> None:
    file.write(json.dumps(answer) + "\n")
    file.flush()


def _wait(device: str) -> None:
    """Let the GPU finish, so that its time is counted."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def _gpu(device: str) -> dict[str, int]:
    """Return the peak of this process's memory on the GPU, in bytes, if it uses one."""
    import torch

    return {"gpu_peak": torch.cuda.max_memory_allocated(device)} if device.startswith("cuda") else {}


def _peak() -> int:
    """Return this process's peak resident memory, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # not Linux: there, ru_maxrss would also count the parent's memory at the time of the fork
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
