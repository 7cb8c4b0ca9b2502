"""Run logs of this project, ``kis.jsonl``: one run a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.log import GENERAL, LOG_NAME, EmptyLogError, End, Loss, read_run_log
from kis_predict.observed import ObservedRun
from kis_predict.readers.bounds import impossible
from kis_predict.readers.foreign import LeftOut, last_measured

__all__ = ["RunLogReader"]


class RunLogReader:
    """Reads ``kis.jsonl``."""

    name = "run log"
    names = (LOG_NAME,)

    def claims(self, path: Path) -> bool:
        """Return whether it is a file called ``kis.jsonl``."""
        return path.name == LOG_NAME and path.is_file()

    def read(self, path: Path) -> Iterable[ObservedRun | LeftOut]:
        """Return the run; its retention is the last held-out record.

        Raises:
            KISError: Lines that are no records, or numbers that no run can have; all of them.
        """
        try:
            log = read_run_log(path)
        except EmptyLogError:
            return [LeftOut(str(path), "killed in the first line")]
        run = log.run
        if run.options is not None and run.options < 2:
            raise KISError(Problem(f"{path} options", f"{run.options}", "2 options or more"))
        held_out = [record for record in log.retention if record.probe == "held_out"]
        stale = last_measured(str(path), held_out[-1].step, log.end.step) if held_out and log.end else ()
        observed = ObservedRun(
            source=str(path),
            params=run.params,
            tokens=run.tokens,
            frequency=float(run.frequency),
            retention=float(held_out[-1].accuracy) if held_out else None,
            status=_status(log.end),
            n=held_out[-1].worth if held_out else None,
            chance=1 / run.options if run.options else None,
            facts=run.facts,
            tokens_per_fact=run.tokens_per_fact,
            share=_share(run.share, run.infused_tokens, run.tokens),
            seed=run.seed,
            schedule_hash=run.schedule_hash,
            loss=_loss(log.loss),
            warnings=log.warnings + stale,
        )
        problems = [
            Problem(f"{path} {key}", repr(getattr(observed, key)), expected) for key, expected in impossible(observed)
        ]
        if problems:
            raise KISError(problems)
        return [observed]


def _status(end: End | None) -> str:
    """Return how the run ended. A run whose infusion was throttled on the way is not one at its frequency."""
    if end is None:
        return "unfinished"
    return "eased" if end.status == "completed" and end.extra.get("eased") else end.status


def _loss(records: Sequence[Loss]) -> float | None:
    """Return the last loss that the host measured; where it measured none, that of ``retention.general_text``."""
    own = [record for record in records if record.split == GENERAL]
    last = ([record for record in records if record.split != GENERAL] or own)[-1:]
    return last[0].loss if last else None


def _share(share: float | None, infused_tokens: int | None, tokens: int) -> float | None:
    if share is not None or infused_tokens is None or tokens <= 0:
        return share
    return infused_tokens / tokens
