"""What a reader returns where a log lacks values of a run: a run to be completed, or one that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["ForeignRun", "LeftOut", "MapUse", "last_measured"]


@dataclass(frozen=True)
class ForeignRun:
    """A run as a framework logged it, before ``--map`` and the files next to it supply the rest.

    Attributes:
        source: For messages: the file.
        folder: The run's own folder. Files next to the log are looked up there and above.
        values: What the format itself records, by field of ``ObservedRun``.
        tree: Everything in the log that ``--map`` can name, nested or flat.
        seen: Training tokens seen by its end, None if the log does not record them.
        run_id: Of the run log that KIS wrote of the same run, if the log names one.
        near: Folders to look for files in first, such as the checkpoint's.
        warnings: What was odd about the log, one line each.
        loss_splits: Evaluation sets with a loss, where it is unclear which of them is general text.
    """

    source: str
    folder: Path
    values: Mapping[str, object] = field(default_factory=dict)
    tree: Mapping[str, object] = field(default_factory=dict)
    seen: float | None = None
    run_id: str = ""
    near: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    loss_splits: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """A log that gives no run.

    Attributes:
        source: For messages: the file.
        reason: In a few words, for "Left out 3 logs (torn)".
    """

    source: str
    reason: str


@dataclass(frozen=True)
class MapUse:
    """What a reader that follows ``--map`` itself found of its paths in one log.

    Attributes:
        source: For messages: the file.
        unmatched: Fields whose paths match nothing there.
        keys: What the paths could have been.
    """

    source: str
    unmatched: tuple[str, ...]
    keys: tuple[str, ...]


def last_measured(source: str, at: float, end: float) -> tuple[str, ...]:
    """Return a warning if retention was last measured well before the run ended.

    Args:
        source: The log, for the message.
        at: Step, or tokens, of the last measurement.
        end: Step, or tokens, at which the run ended.
    """
    if at < 0.98 * end:
        return (f"{source}: retention was last measured at step {at:g} of {end:g}",)
    return ()
