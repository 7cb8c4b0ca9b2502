"""Counts the pieces of the text in parallel; the sums do not depend on which process counted what."""

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

__all__ = ["Counted", "Sums", "cores", "count_pieces"]

_AHEAD = 4  # pieces per worker that are handed out at a time
_LOOK = 0.2  # seconds between two progress updates
_SAMPLES = 32  # samples of the whole text that are kept


@dataclass(frozen=True)
class Counted:
    """The counts of a whole text.

    Attributes:
        subject: (facts,) windows that hold the subject.
        object: (facts,) windows that hold the object.
        both: (facts,) windows that hold both.
        size: The amount of text.
        sample: Short extracts, spread over the text.
    """

    subject: IntArray
    object: IntArray
    both: IntArray
    size: Size
    sample: tuple[str, ...]


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_pieces(
    names: Names, pieces: Sequence[Piece], window: str, workers: int, watch: Callable[[int], None]
) -> Counted:
    """Count the windows of a text that hold each fact's names.

    Args:
        names: The names of the facts.
        pieces: The pieces of the text.
        window: One of ``kis_plugin.counting.windows.WINDOWS``.
        workers: Number of processes. On Linux they share the automaton; elsewhere each builds its own.
        watch: Called with the bytes of the files read so far.

    Raises:
        KISError: Text that cannot be read, or a worker that was killed.
    """
    sums = Sums(names, len(pieces))
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    read = context.Value("q", 0)
    tools = (names, Matcher(names.patterns, names.folded), window, read)
    pool = ProcessPoolExecutor(max(min(workers, len(pieces)), 1), context, _begin, (tools,))
    waiting: dict[Future[Found], int] = {}
    # A compressed file is one piece, however long: start with the longest, so that none remains for the end.
    left = sorted(range(len(pieces)), key=lambda number: (pieces[number].start - pieces[number].stop, number))[::-1]
    try:
        while left or waiting:
            while left and len(waiting) < _AHEAD * workers:
                number = left.pop()
                waiting[pool.submit(_count, pieces[number])] = number
            done, _ = wait(waiting, timeout=_LOOK, return_when=FIRST_COMPLETED)
            for future in done:
                sums.add(waiting.pop(future), future.result())
            watch(read.value)
    except BrokenProcessPool as error:
        found_, expected = f"one of {workers} that was killed", "memory for all of them"
        raise KISError(Problem("--workers", found_, expected, "Take fewer workers.")) from error
    finally:
        pool.shutdown(cancel_futures=True)
    return sums.counted()


class Sums:
    """Adds up the counts of pieces, in any order.

    Args:
        names: The names of the facts.
        pieces: How many there are.
    """

    def __init__(self, names: Names, pieces: int) -> None:
        self._names = names
        self._entities = np.zeros(names.entities, dtype=np.int64)
        self._pairs = np.zeros(names.pairs, dtype=np.int64)
        self._size = Size()
        self._samples: list[tuple[str, ...]] = [()] * pieces

    def add(self, piece: int, found: Found) -> None:
        """Add what was found in a piece."""
        self._entities[found.entities] += found.in_windows
        self._pairs[found.pairs] += found.together
        self._size, self._samples[piece] = self._size + found.size, found.sample

    def counted(self) -> Counted:
        """Return the counts of the whole text."""
        names = self._names
        sample = _spread([text for some in self._samples for text in some])
        entities = self._entities
        return Counted(entities[names.subject], entities[names.object], self._pairs[names.pair_of], self._size, sample)


_tools: tuple[Any, ...] = ()


def _begin(tools: tuple[Any, ...]) -> None:
    """Initialise a worker. It ignores Ctrl-C, which the parent process handles."""
    global _tools
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the parent's, which cleans up what is the parent's
    _tools = tools


def _count(piece: Piece) -> Found:
    """Count one piece in a worker."""
    names, matcher, window, read = _tools

    def watch(count: int) -> None:
        with read.get_lock():
            read.value += count

    presence = Presence(names, matcher, window)
    for part in parts(piece, watch):
        presence.add(part)
    return presence.found()


def _spread(samples: Sequence[str]) -> tuple[str, ...]:
    """Return some of the samples, evenly spread."""
    count = min(len(samples), _SAMPLES)
    return tuple(samples[place * len(samples) // count] for place in range(count))
