"""Numbers rows in the batches of each optimizer step: data whose rows cannot be numbered before they are read.

A Trainer fetches the batches of each optimizer step through its ``get_batch_samples``, whatever workers, prefetching,
sharding or dispatching lie behind. There every batch gets the next row numbers, so rows are counted in the order in
which they are trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from transformers import Trainer

from kis_hf.epochs import Epochs, Position
from kis_plugin.errors import KISError, Problem
from kis_plugin.plugins.session import Session
from kis_torch.batch import batch_shape, infused_batch
from kis_torch.row_infusion import RowInfusion

__all__ = ["BatchNumbering"]


class BatchNumbering:
    """Numbers and infuses the batches of a Trainer on their way into its training loop.

    Args:
        trainer: The host.
        epochs: What its loader gives in an epoch.
        begin: Called with T once the first batch is read; returns the session, and what puts tokens into rows.
        position: Where the data stands; after a resume, where the Trainer continues to read.
    """

    def __init__(
        self, trainer: Trainer, epochs: Epochs, begin: Callable[[int], tuple[Session, RowInfusion]], position: Position
    ) -> None:
        self.position = position
        self._trainer, self._epochs, self._begin = trainer, epochs, begin
        self._begun: tuple[Session, RowInfusion] | None = None
        self._fresh = True  # no epoch has begun since this was installed
        self._warned: set[str] = set()
        self._before = trainer.__dict__.get("get_batch_samples")
        self._host: Callable[..., Any] | None = trainer.get_batch_samples
        trainer.get_batch_samples = self.get_batch_samples  # type: ignore[method-assign]

    def undo(self) -> None:
        """Restore the Trainer; calling it twice is fine."""
        if self._host is None:
            return
        del self._trainer.__dict__["get_batch_samples"]
        if self._before is not None:
            self._trainer.__dict__["get_batch_samples"] = self._before
        self._host = None

    def epoch_begins(self) -> None:
        """Note that the Trainer starts to iterate over its loader."""
        if not self._fresh:
            self.position.epoch += 1
            self.position.batches = 0
        self._fresh = False

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> Any:
        """Return what the Trainer's own method does, of infused batches: those of one optimizer step."""
        batches = list(islice(self._planned(epoch_iterator), num_batches))
        if len(batches) < num_batches:
            self._epoch_ended(len(batches), num_batches)
        assert self._host is not None
        return self._host(iter([self._infused(batch) for batch in batches]), num_batches, device)

    def _planned(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Yield batches of the planned shape; leave short ones out where the data has no length."""
        for batch in batches:
            rows, sequence_length = batch_shape(batch)
            if self._begun is None:
                self._begun = self._begin(sequence_length)
            session, row_infusion = self._begun
            due = self._epochs.due(self.position.batches)
            self.position.batches += 1
            if (rows, sequence_length) == (due, row_infusion.sequence_length) or not session.row_source.infused_rows:
                yield batch
            elif sequence_length != row_infusion.sequence_length or rows > due or self._epochs.length is not None:
                found = f"a batch of {rows} rows of {sequence_length} tokens"
                raise self._stopped(session, found, f"{due} rows of {row_infusion.sequence_length} tokens")
            else:
                self._warn(
                    session,
                    f"the data gave a batch of {rows} rows in place of {due}. It is left out, and so are others like "
                    "it: a run of so many steps is counted in whole batches.",
                )

    def _infused(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give the rows of a batch the next numbers, and infuse them."""
        assert self._begun is not None
        session, row_infusion = self._begun
        rows, _ = batch_shape(batch)
        first = self.position.rows + rows * session.run.ranks.data_rank
        self.position.rows += rows * self._epochs.ranks
        if first >= session.run.rows:  # more than the run's: see _epoch_ended
            return batch
        numbers = range(first, first + rows)
        session.rows_drawn(numbers)
        return infused_batch(row_infusion, numbers, batch)

    def _epoch_ended(self, got: int, wanted: int) -> None:
        """Check the end of an epoch inside an optimizer step."""
        if not got and not self.position.rows:
            expected = f"at least {self._epochs.size * self._epochs.ranks} rows of one length"
            raise KISError(Problem("train_dataset", f"no batch of {self._epochs.size} rows", expected))
        if self._begun is None:  # a resume that skipped a whole epoch
            return
        session, length = self._begun[0], self._epochs.length
        if length is not None and self.position.batches < length:
            found = f"data that ended after {self.position.batches} of {length} batches"
            raise self._stopped(session, found, "in every epoch as many rows as its __len__ says")
        if got:
            self._warn(
                session,
                f"the data ended after {got} of the {wanted} batches of an optimizer step. The Trainer adds them to "
                "the next step: the run trains on more rows than its log says. Counts of facts stay exact; a resume "
                "later than here will be refused.",
            )

    def _stopped(self, session: Session, found: str, expected: str) -> KISError:
        shown, rows = self.position.rows, session.run.rows
        where = f"train_dataset, batch {self.position.batches} of epoch {self.position.epoch + 1}"
        hint = (
            f"{shown:,} of the run's {rows:,} rows were trained on, with the facts that belong there; which row comes "
            "next is unknown. Leave __len__ out and give max_steps, or make all batches whole."
        )
        return KISError(Problem(where, found, expected, hint))

    def _warn(self, session: Session, line: str) -> None:
        if session.run.rank == 0 and line not in self._warned:
            self._warned.add(line)
            session.run.notify(f"kis: warning: {line}")
