"""A sweep under kills: of its driver, of the process that trains a run, of both; and with damaged files in between."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.faults import small_runs
from benchmarks.faults.killing import LIMIT, LONGEST_DELAY, run_forked
from benchmarks.faults.result import Result
from benchmarks.faults.timeline import BATCHES, Witness, count_facts, surviving_rows, verdict
from kis_plugin.errors import KISError
from kis_sweep.engines import Resources
from kis_sweep.folder import finished_log, runs_of
from kis_sweep.run_all import run_sweep
from kis_sweep.run_spec import SweepRun
from kis_sweep.worker import main as train_run

__all__ = ["kill_sweep"]

_PID = "soak.pid"
_WORDS = [first + vowel + last for first in "bcdfghlmnprst" for vowel in "aeiou" for last in ("", "n", "st", "rd")]
_TARGETS = ("driver", "worker", "driver and worker")


def kill_sweep(kills: int, seed: int, folder: Path) -> Result:
    """Kill a sweep until ``kills`` have hit it, start it again each time, and count what each run was trained on.

    Args:
        kills: How often at most; a sweep that is finished before is killed less often.
        seed: Of moments, targets and damages.
        folder: An empty folder.
    """
    rng, result = random.Random(seed), Result()  # noqa: S311 (no secret)
    planned = run_forked(lambda report: _plan(folder), folder / "plan.txt")
    if planned.code:
        result.failures.append(f"sweep, seed {seed}: it could not be planned: {planned.output[-500:]}")
        return result
    sweep = folder / "sweep"
    for number in range(kills):
        target = rng.choice(_TARGETS)
        driver = _start_driver(sweep, folder / f"driver-{number}.txt")
        if not _kill_at(sweep, driver, target, rng):
            break
        result.injected[f"sweep: {target} killed"] += 1
        if target == "worker":
            _await(driver)  # it trains the run again, from its last checkpoint
        elif target == "driver and worker" and rng.random() < 0.7 and (damage := _damage(sweep, rng)):
            result.injected[f"sweep: {damage}"] += 1
    code = _await(_start_driver(sweep, folder / "last.txt"))
    wrong = [f"{run.name}: {found}" for run in runs_of(sweep) if (found := _verdict(run))]
    if code or wrong:
        output = (folder / "last.txt").read_text(errors="replace")[-500:]
        result.failures.append(f"sweep, seed {seed}: exit {code}; {wrong}; {output}")
    else:
        result.survived += result.injected
    return result


def _plan(folder: Path) -> None:
    """Plan a sweep of two runs."""
    from kis_plugin.cli.main import main

    small_runs.write_knowledge(folder)
    rng = random.Random(0)  # noqa: S311 (no secret)
    names = [
        "Person",
        "Town",
        "was",
        "born",
        "in",
        "The",
        "place",
        "where",
        "is",
        "the",
        "town",
        "or",
        "city",
        "of",
    ] * 9
    documents = [" ".join(rng.choices([*_WORDS, *names], k=300)) + "." for _ in range(60)]
    (folder / "text.txt").write_text("\f".join(documents))
    os.chdir(folder)
    words = (
        "sweep plan --sizes 20k --frequency 4,8 --no-uninfused --config kis.yaml --text text.txt --vocabulary 512 "
        "--block 64 --tokens-per-param 2 --batch-tokens 256 --framework hf --no-time -o sweep"
    )
    main(words.split(), standalone_mode=False)


def _start_driver(sweep: Path, output: Path) -> int:
    """Run the sweep in a process of its own, as ``kis sweep run`` does; return its id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1)
            os.dup2(file, 2)
            result = run_sweep(sweep, partial(_engine, output), Resources(), lambda run, code: None)
            sys.stderr.writelines(f"{state.run.name}: {state.reason}\n" for state in result.failed)
            code = 1 if result.failed else 0
        except KISError as error:
            sys.stderr.write(f"{error}\n")
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pid


def _engine(output: Path, runs: Sequence[SweepRun], resources: Resources) -> Iterator[tuple[SweepRun, int]]:
    """Train each run in a process forked from this one, which need not import torch again."""
    for run in runs:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.setsid()  # it outlives the driver
                _watch(run)
                code = train_run(str(run.sweep), run.name)
            finally:
                sys.stderr.flush()
                os._exit(code)
        (run.sweep / _PID).write_text(str(pid))
        yield run, _await(pid)


def _watch(run: SweepRun) -> None:
    """Write down each batch that the Trainer of this process trains on."""
    torch.set_num_threads(1)
    compute_loss, train = transformers.Trainer.compute_loss, transformers.Trainer.train
    witness: list[Witness] = []

    def watched_train(self: Any, resume_from_checkpoint: Any = None, **keys: Any) -> Any:
        begun = int(str(resume_from_checkpoint).rpartition("-")[2]) if resume_from_checkpoint else 0
        witness.append(Witness(run.work, begun))
        return train(self, resume_from_checkpoint=resume_from_checkpoint, **keys)

    def watched_loss(self: Any, model: Any, inputs: Any, *args: Any, **keys: Any) -> Any:
        if model.training:
            witness[0].batch(self.state.global_step, inputs["input_ids"].tolist())
        return compute_loss(self, model, inputs, *args, **keys)

    transformers.Trainer.train = watched_train  # type: ignore[method-assign]
    transformers.Trainer.compute_loss = watched_loss  # type: ignore[method-assign]


def _kill_at(sweep: Path, driver: int, target: str, rng: random.Random) -> bool:
    """Kill the target at a random moment of the training left; return False if the driver ended before."""
    (sweep / _PID).unlink(missing_ok=True)
    left = sum(run.recipe.steps for run in runs_of(sweep) if finished_log(run) is None)
    goal = _batches(sweep) + rng.randint(1, max(left * 2 // 3, 1))
    while _batches(sweep) < goal or (target != "driver" and not (sweep / _PID).exists()):
        pid, _ = os.waitpid(driver, os.WNOHANG)
        if pid:
            return False
        time.sleep(0.005)
    time.sleep(rng.uniform(0, LONGEST_DELAY))
    worker = int((sweep / _PID).read_text() or 0) if target != "driver" else 0
    with suppress(ProcessLookupError):  # it has just ended
        if worker:
            os.killpg(worker, signal.SIGKILL)
    if target != "worker":
        os.kill(driver, signal.SIGKILL)
        _await(driver)
    return True


def _batches(sweep: Path) -> int:
    """Return how many batches the runs were given, those lost in a kill included."""
    return sum(path.read_bytes().count(b"\n") for path in sweep.glob(f"work/*/{BATCHES}"))


def _damage(sweep: Path, rng: random.Random) -> str:
    """Damage a file of an unfinished run; return what was done, empty if there is none."""
    newest = max(sweep.glob("work/*/checkpoints/checkpoint-*"), key=lambda path: path.stat().st_mtime_ns, default=None)
    choices = {
        "newest checkpoint cut off": newest and newest / "model.safetensors",
        "newest exposures emptied": max(sweep.glob("runs/*/*/exposures-*.npz"), key=_step, default=None),
        "run log overwritten": next(sweep.glob("runs/*/*/kis.jsonl"), None),
    }
    what = rng.choice(sorted(choices))
    path = choices[what]
    if path is None or not path.exists():
        return ""
    raw = path.read_bytes()
    path.write_bytes({"c": raw[: len(raw) // 2], "e": b"", "o": b"garbage\n{}\n" + raw}[what.rpartition(" ")[2][0]])
    return what


def _step(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _verdict(run: SweepRun) -> str:
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(run.tokenizer))
    counts = count_facts(surviving_rows(run.work), tokenizer.decode, tokenizer.eos_token)
    logs = sorted(run.logs.glob("*/kis.jsonl"), key=lambda path: path.stat().st_mtime)
    if not logs:
        return "there is no log"
    if "counted_from_step" in logs[-1].read_text():
        return "its counts are partial: it did not go on from the last whole checkpoint"
    return verdict(counts, int(run.frequency), logs[-1], small_runs.CONTROLS)


def _await(pid: int) -> int:
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise TimeoutError(f"a sweep did not end within {LIMIT:.0f} s")
