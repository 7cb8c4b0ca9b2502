"""All cores over all pieces of the text; the sums are the same whoever counted what."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import numpy as np

from kis_plugin.counting.matcher import Matcher
from kis_plugin.counting.names import Names
from kis_plugin.counting.presence import Found, Presence, Size
from kis_plugin.counting.texts import Piece, parts
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray

__all__ = ["Counted", "cores", "count_pieces"]

_AHEAD = 4  # pieces for each worker that are handed out at a time
_LOOK = 0.2  # seconds between two looks at how far the workers are
_SAMPLES = 32  # of the whole text


@dataclass(frozen=True)
class Counted:
    """What a whole text holds.

    Attributes:
        subject: (facts,) windows in which the subject was found.
        object: (facts,) windows in which the object was found.
        both: (facts,) windows in which both were.
        size: How much text it was.
        sample: Short pieces of the text, from all over it.
    """

    subject: IntArray
    object: IntArray
    both: IntArray
    size: Size
    sample: tuple[str, ...]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_pieces(
    names: Names, pieces: Sequence[Piece], window: str, workers: int, watch: Callable[[int], None]
) -> Counted:
    """Count in how many windows of a text each fact's names are found.

    Args:
        names: Of the facts.
        pieces: Of the text.
        window: One of ``kis_plugin.counting.windows.WINDOWS``.
        workers: Processes. On Linux they share what is searched with; elsewhere each makes its own.
        watch: Told how many bytes of the files have been read so far.

    Raises:
        KISError: Text that cannot be read, or a worker that was killed.
    """
    entities = np.zeros(names.entities, dtype=np.int64)
    pairs = np.zeros(names.pairs, dtype=np.int64)
    size = Size()
    samples: list[tuple[str, ...]] = [()] * len(pieces)
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    read = context.Value("q", 0)
    tools = (names, Matcher(names.patterns), window, read)
    pool = ProcessPoolExecutor(max(min(workers, len(pieces)), 1), context, _begin, (tools,))
    waiting: dict[Future[Found], int] = {}
    # Compressed files are one piece each, however long: the longest first, so that none is left for the end.
    left = sorted(range(len(pieces)), key=lambda number: (pieces[number].start - pieces[number].stop, number))[::-1]
    try:
        while left or waiting:
            while left and len(waiting) < _AHEAD * workers:
                number = left.pop()
                waiting[pool.submit(_count, pieces[number])] = number
            done, _ = wait(waiting, timeout=_LOOK, return_when=FIRST_COMPLETED)
            for future in done:
                number, found = waiting.pop(future), future.result()
                entities[found.entities] += found.in_windows
                pairs[found.pairs] += found.together
                size, samples[number] = size + found.size, found.sample
            watch(read.value)
    except BrokenProcessPool as error:
        found_, expected = f"one of {workers} that was killed", "memory for all of them"
        raise KISError(Problem("--workers", found_, expected, "Take fewer workers.")) from error
    finally:
        pool.shutdown(cancel_futures=True)
    return Counted(
        entities[names.subject],
        entities[names.object],
        pairs[names.pair_of],
        size,
        _spread([text for some in samples for text in some]),
    )


_tools: tuple[Any, ...] = ()


def _begin(tools: tuple[Any, ...]) -> None:
    """Make a worker ready. Ctrl-C reaches it too, and is the parent's to answer."""
    global _tools
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _tools = tools


def _count(piece: Piece) -> Found:
    """Count one piece, in a worker."""
    names, matcher, window, read = _tools

    def watch(count: int) -> None:
        with read.get_lock():
            read.value += count

    presence = Presence(names, matcher, window)
    for part in parts(piece, watch):
        presence.add(part)
    return presence.found()


def _spread(samples: Sequence[str]) -> tuple[str, ...]:
    """Return some of all samples, evenly spread."""
    count = min(len(samples), _SAMPLES)
    return tuple(samples[place * len(samples) // count] for place in range(count))
