"""Errors in a user's input: where each is, what was found, what was expected, and how to fix it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType

from kis_plugin.escapes import escaped, to_stderr

__all__ = ["KISError", "Problem", "nearest", "need_or_refuse", "show_uncaught"]


_LAYOUT = "\n\t"  # what our own sentences may hold


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the input.

    Attributes:
        where: The place: a file with its line or key (``kis.yaml:4 infusion.frequency``), or a command-line option.
        found: What stands there, quoted if it is the user's text.
        expected: What would have been right.
        hint: What to do about it, where that is not obvious. Empty otherwise.
    """

    where: str
    found: str
    expected: str
    hint: str = ""

    def __str__(self) -> str:
        """Return the problem as text whose control characters are escaped: names of files and keys are in it."""
        line = f"{escaped(self.where)}: found {escaped(self.found)}, expected {escaped(self.expected, keep=_LAYOUT)}"
        return f"{line}. {escaped(self.hint, keep=_LAYOUT)}" if self.hint else line


class KISError(Exception):
    """Bad input. Command lines print it without a traceback and exit with ``exit_code``.

    Args:
        problems: Everything found wrong, so that one run of the command shows all of it. At least one. A text stands
            for itself: a loader's worker process hands an exception on as its text.
    """

    exit_code = 2

    def __init__(self, problems: Problem | Iterable[Problem] | str) -> None:
        self._text = problems if isinstance(problems, str) else ""
        found = [problems] if isinstance(problems, Problem) else problems
        self.problems: tuple[Problem, ...] = () if isinstance(found, str) else tuple(found)
        super().__init__(self._text or self.problems)

    def __str__(self) -> str:
        """Return one line a problem, with their number first when there are several."""
        lines = [str(problem) for problem in self.problems] or [self._text]
        return lines[0] if len(lines) == 1 else "\n".join([f"{len(lines)} problems:", *(f"  {line}" for line in lines)])


def nearest(name: object, valid: Iterable[str]) -> str:
    """Return a hint: the valid name closest to ``name``, or the list of valid names if none is close."""
    names = list(valid)
    close = difflib.get_close_matches(str(name), names, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Valid names: {', '.join(names)}."


def need_or_refuse(where: str, need: Callable[[], None], libraries: str) -> None:
    """Import what an extra brings.

    Args:
        where: The key or option that needs it.
        need: Imports it; its ImportError says what is missing, and after a full stop how to install it.
        libraries: What is expected.

    Raises:
        KISError: It is not installed.
    """
    try:
        need()
    except ImportError as error:
        found, _, hint = str(error).partition(". ")
        raise KISError(Problem(where, found, libraries, hint)) from error


def show_uncaught() -> None:
    """Let a ``KISError`` that a training script does not catch end it with the message and its exit code.

    Adapters call this: users' scripts have no command line of ours around them, and a traceback through the host says
    nothing about bad input. Other exceptions are shown as before; a second call does nothing.
    """
    if isinstance(sys.excepthook, _Hook):
        return
    sys.excepthook = _Hook(sys.excepthook)


@dataclass(frozen=True)
class _Hook:
    """Shows uncaught exceptions; those that are not KIS's by ``before``."""

    before: Callable[[type[BaseException], BaseException, TracebackType | None], object]

    def __call__(self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if not isinstance(error, KISError):
            self.before(kind, error, traceback)
            return
        to_stderr(f"kis: error: {error}", keep="\n")
        raise SystemExit(error.exit_code)
