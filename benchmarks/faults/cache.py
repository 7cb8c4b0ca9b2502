"""The cache under kills: processes that prepare the same arrays at once, of which some are killed while they write."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.faults.result import Result
from kis_plugin.storage.artifact_cache import Prepared, Writer, prepared

__all__ = ["kill_builders"]

_PIECES, _LENGTH = 12, 20_000
_TOGETHER = 3


def kill_builders(rounds: int, seed: int, folder: Path) -> Result:
    """Let three processes prepare an artifact at once, kill one of them at random, and compare what all others got.

    Args:
        rounds: Kills.
        seed: Of the moments and of the bytes that are damaged between rounds.
        folder: An empty folder.
    """
    rng, result = random.Random(seed), Result()  # noqa: S311 (no secret)
    for number in range(rounds):
        cache, kind = folder / f"cache-{number % 4}", "cache: a builder killed while others wait"
        if number % 4 == 3 and _damage(cache, rng):
            kind = "cache: a byte changed, then a builder killed"
        killed = rng.randrange(_PIECES)
        dying = _start(cache, number, folder / f"cache-{number}.txt", killed)
        others = [_start(cache, number, folder / f"cache-{number}-{one}.txt") for one in range(_TOGETHER - 1)]
        code, *codes = (os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in (dying, *others))
        if code != -signal.SIGKILL:
            result.notes["cache: processes that only waited, and were not killed"] += 1
            codes.append(code)
        else:
            result.injected[kind] += 1
        left = list(cache.glob("*.partial")) if _is_right(_prepare(cache, number)) else ["other arrays"]
        if any(codes) or left:
            result.failures.append(f"cache, seed {seed}, round {number}: exit codes {codes}, left {left}")
        elif code == -signal.SIGKILL:
            result.survived[kind] += 1
    return result


def _start(cache: Path, number: int, output: Path, killed: int | None = None) -> int:
    """Start a process that prepares the artifact, or is killed after ``killed`` pieces; return its id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)

            def die(piece: int) -> None:
                if piece == killed:
                    os.kill(os.getpid(), signal.SIGKILL)

            code = 0 if _is_right(_prepare(cache, number, die)) else 3
        finally:
            os._exit(code)
    return pid


def _prepare(cache: Path, number: int, after: Callable[[int], None] = lambda piece: None) -> Prepared:
    def build(writer: Writer) -> None:
        for piece in range(_PIECES):
            writer.append("grown", _piece(piece))
            writer.put(f"whole{piece}", _piece(piece))
            after(piece)
        writer.meta["pieces"] = _PIECES

    return prepared(cache, "soak", {"round": number // 4}, build, lambda line: None)


def _piece(piece: int) -> np.ndarray:
    return np.random.default_rng(piece).integers(0, 1 << 30, _LENGTH)


def _is_right(found: Prepared) -> bool:
    pieces = [_piece(piece) for piece in range(_PIECES)]
    return (
        np.array_equal(found.arrays["grown"], np.concatenate(pieces))
        and all(np.array_equal(found.arrays[f"whole{number}"], piece) for number, piece in enumerate(pieces))
        and found.meta == {"pieces": _PIECES}
    )


def _damage(cache: Path, rng: random.Random) -> bool:
    """Change a byte of some array in a cache; return whether there is one."""
    files = sorted(cache.glob("soak-*/*.npy"))
    if not files:
        return False
    path = rng.choice(files)
    raw = bytearray(path.read_bytes())
    raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    path.write_bytes(raw)
    return True
