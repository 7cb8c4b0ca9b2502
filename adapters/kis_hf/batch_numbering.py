"""Numbers rows in the batches of each optimizer step: data whose rows cannot be numbered before they are read.

A Trainer fetches the batches of each optimizer step through its ``get_batch_samples``, whatever workers, prefetching,
sharding or dispatching lie behind. There every batch gets the next row numbers, so rows are counted in the order in
which they are trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import Trainer

from kis_hf.epochs import Epochs, Position
from kis_hf.host import ranks_of
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.plugins.session import Session
from kis_torch.batch import BatchRows, infused_batch
from kis_torch.labels import LabelRule, label_rule
from kis_torch.room import RoomQueue
from kis_torch.row_infusion import RowInfusion
from kis_torch.row_survey import distinct_tokens

__all__ = ["BatchNumbering", "BatchSurvey"]

_ANY_LENGTH = 1024  # tokens of a row, for the run's record, where batches hold no token ids and nothing is infused


@dataclass(frozen=True)
class BatchSurvey:
    """What the rows of the first step are like.

    Attributes:
        sequence_length: Tokens of the longest row.
        lengths: Tokens of each row, where they differ; else None.
        rule: What their labels are.
        tokens: (n,) distinct token ids among them; None where batches hold no token ids.
    """

    sequence_length: int
    lengths: list[int] | None
    rule: LabelRule
    tokens: IntArray | None = None


class BatchNumbering:
    """Numbers and infuses the batches of a Trainer on their way into its training loop.

    Args:
        trainer: The host.
        epochs: What its loader gives in an epoch.
        begin: Called once the first step's batches are read; returns the session, and what puts tokens into rows.
        position: Where the data stands; after a resume, where the Trainer continues to read.
        infuses: Whether anything is to be infused; else no batch is refused.
    """

    def __init__(
        self,
        trainer: Trainer,
        epochs: Epochs,
        begin: Callable[[BatchSurvey], tuple[Session, RowInfusion]],
        position: Position,
        infuses: bool = True,
    ) -> None:
        self.position, self._infuses = position, infuses
        self._queue = RoomQueue(self._planned, position.waiting)
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
        assert self._host is not None
        batches = list(islice(epoch_iterator, num_batches))
        if len(batches) < num_batches and not self.position.rows and not batches:
            self._epoch_ended(0, num_batches)
        if self._begun is None and batches:
            self._begun = self._begin(self._first_look(batches))
        if self._begun is None or not self._begun[0].row_source.infused_rows:
            return self._host(iter(self._passed_on(batches)), num_batches, device)
        kept = self._kept(batches, epoch_iterator, num_batches)
        if len(kept) < num_batches:
            self._epoch_ended(len(kept), num_batches)
        return self._host(iter(self._infused(kept)), num_batches, device)

    def _first_look(self, batches: Sequence[Any]) -> BatchSurvey:
        """Look at the batches of the first step, on all ranks."""
        before = self.position.lengths
        try:
            rows = [BatchRows.of(batch, self._epochs.size) for batch in batches]
        except KISError:
            if self._infuses:
                raise
            return BatchSurvey(_ANY_LENGTH, None, LabelRule.EQUAL)  # nothing is put into them
        rule = label_rule([pair for one in rows for pair in one.label_pairs()], "train_dataloader")
        width = max(int(one.columns["input_ids"].shape[1]) for one in rows)
        tokens = distinct_tokens(rows)
        if before is not None:
            return BatchSurvey(max(before) if before else width, before or None, rule, tokens)
        found = self._of_all_ranks(np.concatenate([_padded_to(one.lengths, self._epochs.size) for one in rows]))
        lengths = found[found > 0].tolist()
        joined = any(one.joined for one in rows)
        if len(set(lengths)) == 1 and not joined:  # where rows are joined, later ones may differ without being seen to
            self.position.lengths = []
            return BatchSurvey(lengths[0], None, rule, tokens)
        self.position.lengths = lengths
        return BatchSurvey(max(lengths), lengths, rule, tokens)

    def _passed_on(self, batches: list[Any]) -> list[Any]:
        """Count batches that nothing is infused into."""
        if batches and self._begun is not None:
            self.position.batches += len(batches)
            self.position.rows += self._epochs.size * self._epochs.ranks * len(batches)
        return batches

    def _kept(self, batches: list[Any], more: Iterator[Any], wanted: int) -> list[BatchRows]:
        """Return the batches of a step; short ones are left out where the data has no length, and others come for them.

        Where rows differ in length, a short batch is one in which some rows have no room.
        """
        assert self._begun is not None
        session, row_infusion = self._begun
        kept: list[BatchRows] = []
        source = chain(batches, more)
        while len(kept) < wanted:
            batch = next(source, None)
            if batch is None:
                break
            rows = BatchRows.of(batch, self._epochs.size)
            due = self._epochs.due(self.position.batches)
            self.position.batches += 1
            count, lengths = len(rows.bounds), sorted({*rows.lengths.tolist()})
            tokens = " to ".join(f"{length}" for length in (lengths[:1] + lengths[-1:] if lengths[1:] else lengths))
            found = f"a batch of {count} rows of {tokens} tokens" + ", joined to one" * rows.joined
            differs = rows.joined or bool((rows.lengths != row_infusion.sequence_length).any())
            if count > due or (differs and not self.position.lengths and self._epochs.ranks > 1):
                raise self._stopped(session, found, f"{due} rows of {row_infusion.sequence_length} tokens")
            if count == due or self.position.lengths:
                kept.append(rows)
            elif self._epochs.length is not None:
                raise self._stopped(session, found, f"{due} rows of {row_infusion.sequence_length} tokens")
            else:
                self._warn(
                    session,
                    f"the data gave a batch of {count} rows in place of {due}. It is left out, and so are others like "
                    "it: a run of so many steps is counted in whole batches.",
                )
        return kept

    def _infused(self, batches: Sequence[BatchRows]) -> list[Any]:
        """Give the rows of some batches the next numbers, and infuse them."""
        assert self._begun is not None
        if not batches:  # the data has ended before a step of this epoch
            return []
        session, row_infusion = self._begun
        source, ranks = session.row_source, self._epochs.ranks
        dues = [self._epochs.due(self.position.batches - len(batches) + at) for at in range(len(batches))]
        room = [
            _padded_to(rows.lengths >= source.sequence_length, due) for rows, due in zip(batches, dues, strict=True)
        ]
        everyone = self._of_all_ranks(np.concatenate(room)) if self.position.lengths and ranks > 1 else None
        infused, done = [], 0
        for rows, due, own in zip(batches, dues, room, strict=True):
            first, rank = self.position.rows, session.run.ranks.data_rank
            self.position.rows += due * ranks
            if first >= session.run.rows:  # more than the run's: see _epoch_ended
                infused.append(rows.batch)
                continue
            carried: list[int | None] = []
            for row in range(first, first + due * ranks):
                of_rank, place = divmod(row - first, due)
                # Ranks whose rows cannot be seen from here have whole rows: all of them have room.
                has_room = own[place] if of_rank == rank else everyone is None or everyone[of_rank, done + place]
                planned = self._queue.next(row, bool(has_room))
                if of_rank == rank:
                    carried.append(planned)
            done += due
            numbers = range(first + due * rank, first + due * (rank + 1))
            if self._queue.waiting or any(
                row not in (None, number) for row, number in zip(carried, numbers, strict=True)
            ):
                session.rows_drawn(numbers, [row for row in carried if row is not None])
            else:
                session.rows_drawn(numbers)
            infused.append(infused_batch(row_infusion, carried[: len(rows.bounds)], rows))
        self.position.waiting = list(self._queue.waiting)
        return infused

    def _planned(self, row: int) -> bool:
        """Return whether anything is planned for a row of the run."""
        assert self._begun is not None
        return self._begun[0].row_source.infused(row)

    def _of_all_ranks(self, own: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return an array of each rank, (ranks, n); for one rank (n,) alone."""
        ranks = self._epochs.ranks
        if ranks == 1:
            return own.astype(np.int64)
        found = ranks_of(self._trainer)
        every = np.zeros((ranks, len(own)), dtype=np.int64)
        every[found.data_rank] = own
        return found.sum(every)

    def _epoch_ended(self, got: int, wanted: int) -> None:
        """Check the end of an epoch inside an optimizer step."""
        if not got and not self.position.rows:
            expected = f"at least {self._epochs.size * self._epochs.ranks} rows"
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


def _padded_to(values: npt.NDArray[Any], count: int) -> npt.NDArray[np.int64]:
    """Return ``count`` values, (count,): rows that a short batch lacks have no tokens, and no room."""
    padded = np.zeros(max(count, len(values)), dtype=np.int64)
    padded[: len(values)] = values
    return padded
