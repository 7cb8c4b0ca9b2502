"""The protocols of what infuses a run: one object that plans, counts and throttles, and its part that makes rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray
from kis_plugin.run.placed_row import Placed

__all__ = ["Infuser", "RowSource", "Shown"]


@dataclass(frozen=True)
class Shown:
    """What the model was shown so far, over all ranks and from the beginning of the run.

    Attributes:
        exposures: Of each fact of the knowledge, (facts,).
        tokens: Infused tokens.
    """

    exposures: IntArray
    tokens: int


class RowSource(Protocol):
    """Rewrites the rows of the data.

    It must pickle, because data loaders send it to their worker processes. It must answer the same for the same row in
    every process, so it may depend on the row's number and on nothing that changes during the run.
    """

    @property
    def infused_rows(self) -> int:
        """How many rows of the run are infused as planned. With 0 a host leaves all batches as they are."""

    @property
    def sequence_length(self) -> int:
        """Tokens that a base row must have to take what is planned for any row."""

    def infused(self, row: int) -> bool:
        """Return whether anything is infused into global row ``row`` of the run."""

    def place(self, row: int, base: npt.NDArray[np.integer]) -> Placed | None:
        """Return how global row ``row`` of the run is infused, or None for a row of base text.

        Args:
            row: Counted over all ranks and epochs, in the order of consumption.
            base: (T,) token ids of the base row that is trained on there.
        """

    def drawing(self, stop: int) -> None:
        """Note, in a loader's worker, that rows of the run before ``stop`` are being made.

        Called before the batch is made, where ``Infuser.rows_drawn`` in the main process is called too late.
        A throttle that is added afterwards leaves these rows as they are.
        """


class Infuser(Protocol):
    """Infuses one run: plans the exposures, makes the rows, counts what the model was shown.

    ``kis_infuser`` returns one. A third party that returns another replaces KIS's own sampler as a whole. There is one
    per process; methods that every rank must call say so.
    """

    @property
    def row_source(self) -> RowSource:
        """What makes the rows: the part that goes to loader workers."""

    @property
    def infused_facts(self) -> IntArray:
        """Indices, among the knowledge's facts, of those that the run infuses: sorted."""

    @property
    def items_fingerprint(self) -> str:
        """Identifies what exposures are counted for. Counts of two runs can be added where it is the same."""

    def run_record(self) -> Mapping[str, Any]:
        """Return fields for the run record (``kis_plugin.run.log.Run``); unknown ones go to its extras."""

    def rows_drawn(self, rows: Sequence[int], carried: Sequence[int] | None = None) -> None:
        """Note global row numbers that this rank's loader is about to fetch.

        Args:
            rows: The rows.
            carried: The planned rows whose texts they carry, where rows that are too short pass theirs on; None: each
                its own.
        """

    def batch(self, input_ids: npt.NDArray[np.int64], labels: npt.NDArray[np.int64] | None = None) -> None:
        """Count what a batch of this rank shows the model, in training mode.

        Args:
            input_ids: (rows, T) token ids.
            labels: (rows, T) what the loss is taken of, as the model gets it; None where the host does not say.
        """

    def step_end(self, step: int) -> None:
        """Act after optimizer step ``step``; step 0 comes once before the first. Every rank must call it.

        Raises:
            KISError: The first infused rows did not reach the model as planned.
        """

    def exposures(self) -> IntArray:
        """Return this rank's exposures per item, (items,), since the start of the run or the last resume.

        An item is what is counted by itself: a fact, or a piece of a passage.
        """

    def shown(self, exposures: IntArray) -> Shown:
        """Convert exposures per item, (items,), over all ranks and the whole run so far. Rank 0 only."""

    def throttle(self, step: int, keep: float) -> None:
        """Infuse only ``keep`` (0 to 1) of what is left after ``step``, starting at rows that no rank has drawn yet.

        Every rank must call it.
        """

    def state(self) -> Mapping[str, Any]:
        """Return what a resume must find again, as plain JSON values; ``kis_infuser`` gets it as ``resumed``."""

    def end_record(self, status: str, exposures: IntArray, complete: bool) -> Mapping[str, Any]:
        """Return fields for the end record (``kis_plugin.run.log.End``), and warn on rank 0 if the counts are off.

        Args:
            status: ``completed`` or ``stopped``.
            exposures: (items,) over all ranks.
            complete: Whether ``exposures`` are those of the whole run from its first step to its last.
        """
