"""Run logs with random damage: no traceback, and no other answer unless the damaged file is named."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.faults.result import Result
from kis_plugin.errors import KISError
from kis_predict import read_runs

__all__ = ["DAMAGES", "damage_logs", "write_sweep"]

Damage = Callable[[bytes, random.Random], bytes]


def _flip(raw: bytes, rng: random.Random) -> bytes:
    changed = bytearray(raw)
    changed[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(raw: bytes, rng: random.Random) -> bytes:
    at, length = rng.randrange(len(raw)), rng.randint(8, 200)
    return raw[:at] + rng.randbytes(length) + raw[at + length :]


def _repeat(raw: bytes, rng: random.Random) -> bytes:
    lines = raw.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    return b"".join([*lines[: at + 1], *lines[at:]])


FLIPPED = "a bit flipped"
"""The damage that a log cannot always show: another digit is another number, and logs have no digests."""
DAMAGES: dict[str, Damage] = {
    FLIPPED: _flip,
    "bytes overwritten": _overwrite,
    "cut off": lambda raw, rng: raw[: rng.randrange(len(raw))],
    "bytes inserted": lambda raw, rng: (at := rng.randrange(len(raw))) and raw[:at] + rng.randbytes(9) + raw[at:],
    "a line twice": _repeat,
    "random bytes": lambda raw, rng: rng.randbytes(len(raw)),
    "zeros": lambda raw, rng: bytes(len(raw)),
}


def damage_logs(count: int, seed: int, folder: Path) -> Result:
    """Damage one log of a sweep, read all of them, and compare with what the whole ones say.

    Args:
        count: How many damages.
        seed: Of the damages.
        folder: An empty folder.
    """
    rng, result = random.Random(seed), Result()  # noqa: S311 (no secret)
    whole = folder / "whole"
    paths = write_sweep(whole)
    expected = _read(whole)
    for number in range(count):
        name, damage = rng.choice(sorted(DAMAGES.items(), key=lambda item: item[0]))
        path = rng.choice(paths)
        kind = f"logs: {name}"
        copy = folder / f"damaged-{number}"
        shutil.copytree(whole, copy)
        damaged = copy / path.relative_to(whole)
        damaged.write_bytes(damage(path.read_bytes(), rng) or b"")
        result.injected[kind] += 1
        try:
            values, notes = _read(copy)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is what the soak looks for)
            result.failures.append(f"{kind}, seed {seed}, number {number}: {type(error).__name__}: {error}")
            continue
        unnamed = values != expected[0] and damaged.parent.name not in notes
        if unnamed and name == FLIPPED:
            result.notes["logs: bits flipped in a number or a key, which no reader can see"] += 1
        if not unnamed or name == FLIPPED:
            result.survived[kind] += 1
            shutil.rmtree(copy)
        else:
            result.failures.append(f"{kind}, seed {seed}, number {number}: other runs, and {damaged} is not named")
    return result


def _read(folder: Path) -> tuple[list[str], str]:
    """Return the runs that are read, without where they came from, and everything that was said of them."""
    try:
        runs = read_runs(folder)
    except KISError as error:
        return [], str(error)
    values = [repr(replace(run, source="")) for run in runs]
    odd = (run.source for run in runs if run.warnings or run.status != "completed")  # the answer names them
    return sorted(values), "\n".join([*runs.notes, *odd])


def write_sweep(folder: Path) -> list[Path]:
    """Write the logs of nine runs; return their paths."""
    paths = []
    for params in (1_000_000, 3_000_000, 10_000_000):
        for frequency in (4, 32, 256):
            name = f"run-{params}-{frequency}"
            path = folder / name / "kis.jsonl"
            path.parent.mkdir(parents=True)
            correct = min(int(400 * (0.3 + 0.02 * frequency**0.5)), 390)
            tokens = 20 * params
            records = [
                {"type": "run", "schema": 2, "run_id": name, "params": params, "tokens": tokens, "seed": 0,
                 "frequency": frequency, "facts": 400, "options": 4},
                *(
                    {"type": "retention", "step": step, "tokens": tokens * step // 100, "probe": "held_out", "n": 400,
                     "correct": right, "accuracy": right / 400}
                    for step, right in ((0, 100), (50, correct - 20), (100, correct))
                ),
                {"type": "end", "status": "completed", "step": 100, "tokens": tokens},
            ]  # fmt: skip
            path.write_text("".join(json.dumps(record) + "\n" for record in records))
            paths.append(path)
    return paths
