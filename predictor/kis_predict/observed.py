"""Runs as the predictor sees them, whatever format they were logged in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

__all__ = ["ObservedRun", "RunSequence"]


@dataclass(frozen=True, kw_only=True, slots=True)  # slots: a table may hold a million
class ObservedRun:
    """What a log reader returns for one run. Optional values are None where the log does not give them."""

    source: str
    """Where it came from, for messages: a file, with its line where the file holds several runs."""
    params: int
    """Model size N: all parameters."""
    tokens: int
    """Token budget D of the whole run."""
    frequency: float
    """Infusion frequency F: exposures per fact in the whole run; 0 for an uninfused run."""
    retention: float | None
    """Held-out accuracy at the end of the run, 0 to 1; None if it was never measured."""
    status: str = "completed"
    """``completed``, or how the run ended instead: ``stopped``, ``failed``, ``unfinished``."""
    n: int | None = None
    """Probes behind ``retention``; where several are about one fact, the number of independent ones they are worth."""
    chance: float | None = None
    """Retention of a model that guesses: 1 / options."""
    facts: int | None = None
    tokens_per_fact: float | None = None
    """Tokens of one exposure."""
    share: float | None = None
    """Infused tokens / D."""
    seed: int | None = None
    schedule_hash: str = ""
    loss: float | None = None
    """Loss on general text at the end of the run, nats per token."""
    loss_splits: tuple[str, ...] = ()
    """Evaluation sets with a loss, where it is unclear which of them is general text; empty where it is clear."""
    warnings: tuple[str, ...] = ()
    """What was odd about the log, one line each."""
    settings: tuple[tuple[str, str], ...] = ()
    """What else the log says of the recipe, by label: learning rate, base repeat rate, fact set and the like."""

    def infused_share(self) -> float | None:
        """Return the logged share, or the one that F, the facts and D give; None if neither is known."""
        if self.share is not None:
            return self.share
        if self.facts is None or self.tokens_per_fact is None:
            return None
        return self.frequency * self.facts * self.tokens_per_fact / self.tokens


@dataclass(frozen=True)
class RunSequence(Sequence[ObservedRun]):
    """The runs of a sweep, with what was noticed while they were read.

    Attributes:
        runs: In the order of places and then of paths; those that had to be completed from other files last.
        notes: What was left out or assumed on the way, one line for each reason.
    """

    runs: tuple[ObservedRun, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.runs)

    @overload
    def __getitem__(self, at: int) -> ObservedRun: ...

    @overload
    def __getitem__(self, at: slice) -> RunSequence: ...

    def __getitem__(self, at: int | slice) -> ObservedRun | RunSequence:
        return type(self)(self.runs[at], self.notes) if isinstance(at, slice) else self.runs[at]

    def __iter__(self) -> Iterator[ObservedRun]:
        return iter(self.runs)
