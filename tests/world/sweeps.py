"""A sweep that takes seconds: a little text, a few facts, models of some ten thousand parameters."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.world import processes

OF_FACTS = ["The", "place", "where", "was", "born", "is", "Person", "Town", "in", "the", "town", "or", "city", "of"] * 9
WORDS = [first + vowel + last for first in "bcdfghlmnprst" for vowel in "aeiou" for last in ("", "n", "st", "rd")]


UNREPEATED = ("run_id", "seconds", "versions", "wall_seconds")


def write_split(folder: Path) -> None:
    """Write ``text.txt`` and ``facts.jsonl``."""
    rng = random.Random(0)
    documents = [" ".join(rng.choices([*WORDS, *OF_FACTS], k=300)) + "." for _ in range(80)]
    (folder / "text.txt").write_text("\f".join(documents))
    facts = [{"subject": f"Person {n}", "relation": "P19", "object": f"Town {n % 8}"} for n in range(40)]
    (folder / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts))


def kis(folder: Path, *words: str, **keys) -> subprocess.CompletedProcess[str]:
    """Run ``kis`` as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "kis_plugin.cli.main", *words], cwd=folder, env=environment(), capture_output=True,
        text=True, timeout=500, **keys,
    )  # fmt: skip


def environment() -> dict[str, str]:
    return processes.environment(COLUMNS="120", NO_COLOR="1", PYTHONIOENCODING="utf-8")


def plan(
    folder: Path, *more: str, frequency: str = "8", framework: str = "hf", guard: str = "warn"
) -> subprocess.CompletedProcess[str]:
    """Plan a sweep of two tiny sizes into ``sweep``."""
    retention = f"{{control: 8, every: 0.5, guard: {{action: {guard}}}}}"
    (folder / "kis.yaml").write_text(f"knowledge: facts.jsonl\nretention: {retention}\n")
    return kis(
        folder, "sweep", "plan", "--sizes", "20k", "--frequency", frequency, "--config", "kis.yaml",
        "--text", "text.txt", "--vocabulary", "512", "--block", "64", "--tokens-per-param", "2",
        "--batch-tokens", "256", "--framework", framework, "-o", "sweep", *more,
    )  # fmt: skip


def sweep_whole(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Plan a sweep and let the local engine run it."""
    write_split(folder)
    assert plan(folder, *more).returncode == 0
    done = kis(folder, "sweep", "run", "sweep")
    assert done.returncode == 0, done.stderr
    return done


def begin_and_await_a_checkpoint(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Begin to run a sweep; return once one of its runs has written a checkpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kis_plugin.cli.main", "sweep", "run", "sweep", *words], cwd=folder, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Tests begun in the background of a shell ignore SIGINT, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    until = time.monotonic() + 120
    while not any(folder.glob("sweep/work/*/checkpoints/checkpoint-*/trainer_state.json")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    return process


def logged(path: Path) -> list[dict]:
    """Return the lines of a run log without what is another at every time: id, versions, seconds."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in UNREPEATED} for line in lines]


def logs_of(sweep: Path) -> dict[str, list[dict]]:
    """Return what every run of a sweep logged, by its name."""
    return {path.parent.parent.name: logged(path) for path in sorted(sweep.glob("runs/*/*/kis.jsonl"))}


def ends_of(sweep: Path) -> dict[str, tuple[dict, dict[str, dict]]]:
    """Return how every run of a sweep ended and each probe's last record: the same whether it was stopped or not."""
    return {
        name: ({**log[-1], "starts": None}, {line["probe"]: line for line in log if line["type"] == "retention"})
        for name, log in logs_of(sweep).items()
    }
