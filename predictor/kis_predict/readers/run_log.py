"""Run logs of this project, ``kis.jsonl``: one run a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.log import LOG_NAME, EmptyLogError, End, Retention
from kis_plugin.storage.compressed_files import COMPRESSED, plain_name
from kis_predict.observed import ObservedRun
from kis_predict.readers.bounds import impossible
from kis_predict.readers.foreign import LeftOut, last_measured
from kis_predict.readers.run_log_scan import Scan, scan
from kis_predict.recipe import settings_of

__all__ = ["RunLogReader"]

_ROUNDING = 0.005
"""What an accuracy may lack or exceed of ``correct / n``: it may have been rounded to two digits."""


class RunLogReader:
    """Reads ``kis.jsonl``, compressed or not, in one pass that keeps a few records only.

    Args:
        general_split: The evaluation set whose loss is general loss; None for what each log says.
    """

    name = "run log"
    names = (LOG_NAME, *(LOG_NAME + ending for ending in COMPRESSED))

    def __init__(self, general_split: str | None = None) -> None:
        self._general_split = general_split

    def with_general_split(self, name: str) -> RunLogReader:
        """Return a reader that takes general loss from the evaluation set ``name``."""
        return type(self)(name)

    def claims(self, path: Path) -> bool:
        """Return whether it is a file called ``kis.jsonl``."""
        return plain_name(path.name) == LOG_NAME and path.is_file()

    def read(self, path: Path) -> Iterable[ObservedRun | LeftOut]:
        """Return the run; its retention is the last held-out record.

        Raises:
            KISError: Lines that are no records, or numbers that no run can have; all of them.
        """
        try:
            found = scan(path)
        except EmptyLogError:
            return [LeftOut(str(path), "killed in the first line")]
        except OSError as error:
            raise KISError(Problem(str(path), str(error.strerror or error), "a readable run log")) from error
        run, held_out = found.run, found.held_out
        assert run is not None
        if run.options is not None and run.options < 2:
            raise KISError(Problem(f"{path} options", f"{run.options}", "2 options or more"))
        if held_out is not None and (contradiction := _contradiction(held_out)):
            return [LeftOut(str(path), contradiction)]
        loss, loss_splits = found.general_loss(self._general_split)
        stale = last_measured(str(path), held_out.step, found.end.step) if held_out and found.end else ()
        observed = ObservedRun(
            source=str(path),
            params=run.params,
            tokens=run.tokens,
            frequency=float(run.frequency),
            retention=float(held_out.accuracy) if held_out else None,
            status=_status(found),
            n=held_out.worth if held_out else None,
            chance=1 / run.options if run.options else None,
            facts=run.facts,
            tokens_per_fact=run.tokens_per_fact,
            share=_share(run.share, run.infused_tokens, run.tokens),
            seed=run.seed,
            schedule_hash=run.schedule_hash,
            loss=loss,
            loss_splits=loss_splits,
            warnings=(*found.warnings, *stale),
            settings=settings_of({**run.extra, **vars(run)}),
        )
        problems = [
            Problem(f"{path} {key}", repr(getattr(observed, key)), expected) for key, expected in impossible(observed)
        ]
        if problems:
            raise KISError(problems)
        return [observed]


def _status(found: Scan) -> str:
    """Return how the run ended; a completed run whose infusion was not what its first record says, by why."""
    if found.diverged:
        return "diverged"
    if found.changed:
        return "changed"
    if found.end is None:
        return "unfinished"
    return _completed(found.end) if found.end.status == "completed" else found.end.status


def _completed(end: End) -> str:
    extra = end.extra
    marks = {
        "miscounted": extra.get("miscounted"),
        "partly counted": extra.get("counted_from_step") or extra.get("uncounted"),
        "changed": extra.get("mismatched"),
        "throttled": extra.get("throttled"),
    }
    return next((status for status, mark in marks.items() if mark), "completed")


def _contradiction(record: Retention) -> str:
    """Return how ``accuracy`` contradicts ``correct`` of ``n``; empty if it does not."""
    if record.n < 1 or record.correct is None:
        return ""
    if abs(record.accuracy - record.correct / record.n) <= max(_ROUNDING, 0.5 / record.n):
        return ""
    return f"accuracy {record.accuracy:.3g} contradicts {record.correct:,} correct of {record.n:,}"


def _share(share: float | None, infused_tokens: int | None, tokens: int) -> float | None:
    if share is not None or infused_tokens is None or tokens <= 0:
        return share
    return infused_tokens / tokens
