"""One run as the predictor sees it, whatever format it was logged in."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ObservedRun"]


@dataclass(frozen=True, kw_only=True)
class ObservedRun:
    """What a log reader hands over for one run. Optional values are None where the log does not give them."""

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
    """Number of probes behind ``retention``; of several about one fact, how many independent ones tell as much."""
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
    warnings: tuple[str, ...] = ()
    """What was odd about the log, one line each."""

    def infused_share(self) -> float | None:
        """Return the logged share, or the one that F, the facts and D give; None if neither is known."""
        if self.share is not None:
            return self.share
        if self.facts is None or self.tokens_per_fact is None:
            return None
        return self.frequency * self.facts * self.tokens_per_fact / self.tokens
