"""Sweeps whose truth is known: gates at given collapse points, with binomial noise or none."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from kis_predict.curves import rise_fall
from kis_predict.observed import ObservedRun

CHANCE = 0.25


def gate_at(log_collapse: float, x: np.ndarray) -> np.ndarray:
    """Return the retention of a gate that has lost 5 % of its height at ``log_collapse``."""
    parameters = np.array([[1.0, 1.6, np.log(0.8), 1.2, np.log(0.4), 1.5]])
    where = rise_fall.critical_points(parameters, np.linspace(-6, 6, 2000), CHANCE, rise_fall.smooth)[1][0]
    return rise_fall.curve(parameters, x - log_collapse + where, CHANCE, rise_fall.smooth)[0]


def make_runs(
    sizes: Sequence[float] = (1e7, 3e7, 9e7, 27e7),
    exponent: float = 0.5,
    level: float = 100.0,
    points: int = 11,
    probes: int | None = 2000,
    seed: int = 0,
    seeds: int = 1,
    last: dict[int, float] | None = None,
    tokens_per_param: float = 20,
    **more: object,
) -> list[ObservedRun]:
    """Return a sweep in which log F_c = log level + exponent log(N / 1e7).

    ``last`` gives, by position of the size, how far beyond log F_c the grid reaches (default 1.6).
    """
    rng = np.random.default_rng(seed)
    runs = []
    for at, params in enumerate(sizes):
        log_collapse = np.log(level) + exponent * np.log(params / 1e7)
        x = np.linspace(log_collapse - 4.5, log_collapse + (last or {}).get(at, 1.6), points)
        for repeat in range(seeds):
            retention = gate_at(log_collapse, x)
            if probes:
                retention = rng.binomial(probes, retention) / probes
            for f, r in zip(x, retention, strict=True):
                values: dict[str, object] = {"source": f"{at}-{repeat}-{f:.3f}", "params": int(params)}
                values |= {"tokens": int(params * tokens_per_param), "frequency": float(np.exp(f)), "n": probes}
                values |= {"retention": float(r), "chance": CHANCE, "seed": repeat, "facts": 1000}
                values |= {"tokens_per_fact": 20.0}
                runs.append(ObservedRun(**{**values, **more}))  # type: ignore[arg-type]
    return runs


@pytest.fixture
def sweep_runs() -> Callable[..., list[ObservedRun]]:
    return make_runs


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., Path]:
    def write(runs: Sequence[ObservedRun], name: str = "sweep.csv") -> Path:
        columns = ("params", "tokens", "frequency", "retention", "n", "chance", "seed", "facts", "tokens_per_fact")
        rows = [",".join("" if (v := getattr(run, c)) is None else repr(v) for c in columns) for run in runs]
        path = tmp_path / name
        path.write_text("\n".join([",".join(columns), *rows]) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, *records: dict[str, object], **run: object) -> Path:
        first = {"type": "run", "run_id": name, "params": 10**7, "tokens": 2 * 10**8, "frequency": 8.0, "options": 4}
        path = tmp_path / name / "kis.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(record) + "\n" for record in ({**first, **run}, *records)), encoding="utf-8")
        return path

    return write
