"""Run logs with chosen accuracies, written as KIS writes them."""

from __future__ import annotations

from pathlib import Path

from kis_plugin.retention.intervals import wilson
from kis_plugin.run.log import End, Loss, Retention, Run, RunLogWriter

N, D, STEPS = 1_000_000, 20_000_000, 400


def write_log(
    folder: Path,
    series: dict[str, list[float]],
    *,
    n: int = 400,
    end: dict | None = None,
    losses=(),
    run=None,
    seconds=1.0,
) -> Path:
    """Write a run that was evaluated at equal distances; ``end`` changes its end record, False leaves it out."""
    writer = RunLogWriter(folder)
    values = {
        "run_id": folder.name,
        "params": N,
        "tokens": D,
        "frequency": 64,
        "facts": 100,
        "share": 0.1,
        "options": 4,
    }
    writer.write(Run(**(values | (run or {}))))
    count = max(map(len, series.values()), default=1)
    for at in range(count):
        step = STEPS * at // max(count - 1, 1)
        for name, accuracies in series.items():
            low, high = wilson(accuracies[at], n)
            writer.write(
                Retention(
                    step=step, tokens=D * step // STEPS, probe=name, accuracy=accuracies[at], n=n, seconds=seconds,
                    extra={"low": low, "high": high, "chance": 0.25},
                )
            )  # fmt: skip
        if at < len(losses):
            writer.write(Loss(step=step, tokens=D * step // STEPS, split="eval", loss=losses[at]))
    if end is not False:
        shown = {"min": 64.0, "max": 64.0, "mean": 64.0}
        extra = {"requested_frequency": shown, "miscounted": 0, "wall_seconds": 100.0, **((end or {}).get("extra", {}))}
        status = (end or {}).get("status", "completed")
        achieved = (end or {}).get("achieved", shown)
        writer.write(End(status=status, step=STEPS, tokens=D, achieved_frequency=achieved, extra=extra))
    writer.close()
    return folder


RISES = {"held_out": [0.25, 0.6, 0.8], "seen": [0.25, 0.8, 0.9], "control": [0.25, 0.25, 0.26]}
