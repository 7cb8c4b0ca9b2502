"""Executes runs on this machine, one per slot at a time; several runs may share a GPU."""

from __future__ import annotations

import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from kis_sweep.engines.resources import Resources
from kis_sweep.folder import failure_of
from kis_sweep.run_process import run_once
from kis_sweep.run_spec import SweepRun

__all__ = ["on_this_machine"]


def on_this_machine(runs: Sequence[SweepRun], resources: Resources) -> Iterator[tuple[SweepRun, int]]:
    """Execute runs on this machine, each in a separate process. An interrupt of the sweep also ends its runs."""
    free: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
    slots = resources.slots()
    for slot in slots:
        free.put(slot)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    stopping = threading.Event()

    def register(run: SweepRun, process: subprocess.Popen[bytes]) -> None:
        processes[run.name] = process
        if stopping.is_set():  # the process started while the sweep was stopping
            process.terminate()

    def execute(run: SweepRun) -> int:
        if stopping.is_set():
            return -signal.SIGTERM
        slot = free.get()
        try:
            code = run_once(run, resources.environment | slot, lambda process: register(run, process))
        finally:
            processes.pop(run.name, None)
            free.put(slot)
        if stopping.is_set():
            failure_of(run).unlink(missing_ok=True)  # a stopped run has not failed: the next sweep continues it
        return code

    with ThreadPoolExecutor(len(slots)) as pool:
        waiting = {pool.submit(execute, run): run for run in runs}
        try:
            yield from _as_completed(waiting)
        finally:
            stopping.set()
            for process in list(processes.values()):
                process.terminate()


def _as_completed(waiting: dict[Future[int], SweepRun]) -> Iterator[tuple[SweepRun, int]]:
    """Yield each run with its exit code when it ends; each is removed from ``waiting``."""
    while waiting:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            yield waiting.pop(future), future.result()
