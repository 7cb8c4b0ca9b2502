"""The seam for data whose rows cannot be numbered before they come: iterable datasets, batch samplers of one's own.

A Trainer fetches the batches of each optimizer step through its ``get_batch_samples``, whatever workers, prefetching,
sharding or dispatching lie behind. There every batch gets the numbers that come next: rows are counted in the order
in which they are trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from transformers import Trainer

from kis_hf.batch import batch_shape, infused_batch
from kis_hf.epochs import Passes, Position
from kis_hf.row_infusion import RowInfusion
from kis_plugin.errors import KISError, Problem
from kis_plugin.plugins.session import Session

__all__ = ["StreamSeam"]


class StreamSeam:
    """Numbers and infuses the batches of a Trainer on their way into its training loop.

    Args:
        trainer: The host.
        passes: What its loader gives.
        begin: Called with T when the first batch is there; returns the session, and what puts tokens into rows.
        position: Where the data stands; after a resume, where the Trainer will begin to draw.
    """

    def __init__(
        self, trainer: Trainer, passes: Passes, begin: Callable[[int], tuple[Session, RowInfusion]], position: Position
    ) -> None:
        self.position = position
        self._trainer, self._passes, self._begin = trainer, passes, begin
        self._begun: tuple[Session, RowInfusion] | None = None
        self._fresh = True  # no pass was begun since the seam was put in
        self._told_of: set[str] = set()
        self._before = trainer.__dict__.get("get_batch_samples")
        self._host: Callable[..., Any] | None = trainer.get_batch_samples
        trainer.get_batch_samples = self.get_batch_samples  # type: ignore[method-assign]

    def undo(self) -> None:
        """Put everything back. Doing it twice is fine."""
        if self._host is None:
            return
        del self._trainer.__dict__["get_batch_samples"]
        if self._before is not None:
            self._trainer.__dict__["get_batch_samples"] = self._before
        self._host = None

    def pass_begins(self) -> None:
        """Note that the Trainer begins to iterate anew."""
        if not self._fresh:
            self.position.passes += 1
            self.position.batches = 0
        self._fresh = False

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> Any:
        """Return what the Trainer's own method does, of infused batches: those of one optimizer step."""
        batches = list(islice(self._whole(epoch_iterator), num_batches))
        if len(batches) < num_batches:
            self._pass_ended(len(batches), num_batches)
        assert self._host is not None
        return self._host(iter([self._infused(batch) for batch in batches]), num_batches, device)

    def _whole(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Yield batches of the planned shape; leave short ones out where the data has no length."""
        for batch in batches:
            rows, sequence_length = batch_shape(batch)
            if self._begun is None:
                self._begun = self._begin(sequence_length)
            session, row_infusion = self._begun
            due = self._passes.due(self.position.batches)
            self.position.batches += 1
            if (rows, sequence_length) == (due, row_infusion.sequence_length) or not session.row_source.infused_rows:
                yield batch
            elif sequence_length != row_infusion.sequence_length or rows > due or self._passes.length is not None:
                found = f"a batch of {rows} rows of {sequence_length} tokens"
                raise self._stopped(session, found, f"{due} rows of {row_infusion.sequence_length} tokens")
            else:
                self._warn(
                    session,
                    f"the data gave a batch of {rows} rows in place of {due}. It is left out, and so are others like "
                    "it: a run of so many steps is counted in whole batches.",
                )

    def _infused(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give the rows of a batch the numbers that come next, and infuse them."""
        assert self._begun is not None
        session, row_infusion = self._begun
        rows, _ = batch_shape(batch)
        first = self.position.rows + rows * session.run.rank
        self.position.rows += rows * self._passes.ranks
        if first >= session.run.rows:  # more than the run's: see _pass_ended
            return batch
        numbers = range(first, first + rows)
        session.rows_drawn(numbers)
        return infused_batch(row_infusion, numbers, batch)

    def _pass_ended(self, got: int, asked: int) -> None:
        """Judge the end of a pass inside an optimizer step."""
        if not got and not self.position.rows:
            expected = f"at least {self._passes.size * self._passes.ranks} rows of one length"
            raise KISError(Problem("train_dataset", f"no batch of {self._passes.size} rows", expected))
        if self._begun is None:  # a resume that skipped a whole pass
            return
        session, length = self._begun[0], self._passes.length
        if length is not None and self.position.batches < length:
            found = f"data that ended after {self.position.batches} of {length} batches"
            raise self._stopped(session, found, "in every pass as many rows as its __len__ says")
        if got:
            self._warn(
                session,
                f"the data ended after {got} of the {asked} batches of an optimizer step. The Trainer adds them to the "
                "next step: the run trains on more rows than its log says. Counts of facts stay exact; a resume later "
                "than here will be refused.",
            )

    def _stopped(self, session: Session, found: str, expected: str) -> KISError:
        shown, rows = self.position.rows, session.run.rows
        where = f"train_dataset, batch {self.position.batches} of pass {self.position.passes + 1}"
        hint = (
            f"{shown:,} of the run's {rows:,} rows were trained on, with the facts that belong there; which row comes "
            "next cannot be told. Leave __len__ out and give max_steps, or make all batches whole."
        )
        return KISError(Problem(where, found, expected, hint))

    def _warn(self, session: Session, line: str) -> None:
        if session.run.rank == 0 and line not in self._told_of:
            self._told_of.add(line)
            session.run.notify(f"kis: warning: {line}")
