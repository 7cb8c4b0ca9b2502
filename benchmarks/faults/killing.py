"""Work in a process that is forked from a warm one, and killed at a moment that a seed draws."""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Moment", "Outcome", "Report", "draw_moment", "run_forked"]

LIMIT = 300.0
"""Seconds after which work that was not killed counts as hanging."""
LONGEST_DELAY = 0.03  # seconds after the event: about what a save or an evaluation of the small models takes

Report = Callable[[str], None]
"""Called by the work with the name of the phase that begins: ``training``, ``saving``, ``evaluating``."""


@dataclass(frozen=True)
class Moment:
    """When to kill: ``delay`` seconds after a phase has begun for the ``number``-th time."""

    phase: str
    number: int
    delay: float


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Attributes:
        killed_in: The phase in which it was killed; empty if it ended by itself.
        code: Its exit code.
        output: What it printed.
    """

    killed_in: str
    code: int
    output: str


def draw_moment(rng: random.Random, most: dict[str, int]) -> Moment:
    """Draw a moment: each phase is as likely as the others, and each of its times.

    Args:
        rng: The source of the draw.
        most: How often each phase may begin before the work ends.
    """
    phase = rng.choice(sorted(most))
    return Moment(phase, rng.randint(1, max(most[phase], 1)), rng.uniform(0, LONGEST_DELAY))


def run_forked(work: Callable[[Report], None], output: Path, moment: Moment | None = None) -> Outcome:
    """Run ``work`` in a forked process of a session of its own, and kill all processes of it at ``moment``.

    Args:
        work: What to do; an exception of it ends the process with code 1.
        output: Gets what it prints.
        moment: When to kill; never by default.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _in_child(work, output, writing)
    os.close(writing)
    phases = _followed(reading, pid, moment)
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    killed = code == -signal.SIGKILL
    return Outcome((phases or ["starting"])[-1] if killed else "", code, output.read_text(errors="replace"))


def _in_child(work: Callable[[Report], None], output: Path, writing: int) -> None:
    """Run the work and end this process; what its parent left to be done at exit is not done twice."""
    code = 1
    try:
        os.setsid()
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        work(lambda phase: _tell(writing, phase))
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 (this process ends here, whatever it is)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _tell(writing: int, phase: str) -> None:
    os.write(writing, f"{phase}\n".encode())


def _followed(reading: int, pid: int, moment: Moment | None) -> Sequence[str]:
    """Read phases until the work ends; kill it at its moment."""
    until, rest = time.monotonic() + LIMIT, b""
    phases: list[str] = []
    while True:
        ready, _, _ = select.select([reading], [], [], max(until - time.monotonic(), 0))
        if not ready:
            os.killpg(pid, signal.SIGKILL)
            raise TimeoutError(f"did not end within {LIMIT:.0f} s; its last phase: {(phases or ['starting'])[-1]}")
        read = os.read(reading, 1 << 16)
        if not read:
            return phases
        *lines, rest = (rest + read).split(b"\n")
        phases += [line.decode() for line in lines]
        if moment is not None and phases.count(moment.phase) >= moment.number:
            time.sleep(moment.delay)
            os.killpg(pid, signal.SIGKILL)
            moment = None
