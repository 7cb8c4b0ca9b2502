"""Runs on this machine, as many at a time as it has places; several may share a GPU."""

from __future__ import annotations

import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from kis_sweep.engines.places import Places
from kis_sweep.folder import failure_of
from kis_sweep.run_process import try_run
from kis_sweep.run_spec import SweepRun

__all__ = ["on_this_machine"]


def on_this_machine(runs: Sequence[SweepRun], places: Places) -> Iterator[tuple[SweepRun, int]]:
    """Run them on this machine, each in a process of its own. If this is interrupted, so are they."""
    free: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
    slots = places.slots()
    for slot in slots:
        free.put(slot)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    stopping = threading.Event()

    def begun(run: SweepRun, process: subprocess.Popen[bytes]) -> None:
        processes[run.name] = process
        if stopping.is_set():  # it began just then
            process.terminate()

    def one(run: SweepRun) -> int:
        if stopping.is_set():
            return -signal.SIGTERM
        slot = free.get()
        try:
            code = try_run(run, places.environment | slot, lambda process: begun(run, process))
        finally:
            processes.pop(run.name, None)
            free.put(slot)
        if stopping.is_set():
            failure_of(run).unlink(missing_ok=True)  # it was stopped, and goes on another time
        return code

    with ThreadPoolExecutor(len(slots)) as pool:
        waiting = {pool.submit(one, run): run for run in runs}
        try:
            yield from _as_they_end(waiting)
        finally:
            stopping.set()
            for process in list(processes.values()):
                process.terminate()


def _as_they_end(waiting: dict[Future[int], SweepRun]) -> Iterator[tuple[SweepRun, int]]:
    while waiting:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            yield waiting.pop(future), future.result()
