"""The train loader that LitGPT gets: the wrapped module's batches, infused by their place in the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from kis_litgpt.epochs import Epochs
from kis_plugin.errors import KISError, Problem
from kis_plugin.run.infuser import RowSource

__all__ = ["InfusedLoader", "Numbering"]

_WHERE = "data"


@dataclass(frozen=True)
class Numbering:
    """Which rows of the run a batch holds.

    Iteration i of rank r of W ranks takes rows ``(i * W + r) * batch_size`` and the next ones. That is the order of
    consumption, whatever order the base data is read in, and however often.

    Attributes:
        batch_size: Rows of one batch on one rank.
        iterations: Batches of the whole run on one rank.
    """

    batch_size: int
    iterations: int
    rank: int = 0
    world_size: int = 1

    def rows(self, iteration: int) -> range:
        """Return the global rows of this rank's batch."""
        first = (iteration * self.world_size + self.rank) * self.batch_size
        return range(first, first + self.batch_size)


class InfusedLoader(DataLoader[torch.Tensor]):
    """Yields batches of rows of T + 1 tokens, infused where the plan says so.

    LitGPT trains on a row's first T tokens as inputs and its last T as targets: the first token of a row is never
    learned. So an infused row is EOS, the infused tokens, then the start of the base row. Every token of every infused
    sentence, its EOS included, is a target, and the first sentence of a row follows an EOS as all others do.

    Args:
        base: The wrapped module's loader.
        sequence_length: Tokens that LitGPT trains on per row, T.
        eos: The token before the infused ones.
    """

    def __init__(self, base: DataLoader[Any], sequence_length: int, eos: int) -> None:
        # An iterable dataset: Fabric would put a sampler of its own into a loader of another kind.
        super().__init__(_Nothing(), batch_size=None)
        self.epochs = Epochs(base)
        self.sequence_length = sequence_length
        self.eos = eos
        self.iteration = 0
        self.restored: Mapping[str, Any] | None = None
        self.describe: Callable[[], dict[str, Any]] = dict
        """Returns what KIS keeps in a checkpoint beside the place in the data."""
        self._source: RowSource | None = None

    def start(
        self,
        source: RowSource,
        numbering: Numbering,
        drawn: Callable[[Sequence[int]], None],
        notify: Callable[[str], None],
    ) -> None:
        """Set how rows are numbered and infused; nothing is yielded before."""
        self._source, self._numbering, self._drawn, self._notify = source, numbering, drawn, notify

    def __iter__(self) -> Iterator[torch.Tensor]:  # type: ignore[override]
        """Go through the base data once.

        Raises:
            KISError: Batches that cannot be infused exactly, data that ends before the run does.
        """
        if self._source is None:
            hint = "KIS knows `litgpt pretrain` of LitGPT 0.5.13."
            raise KISError(Problem(_WHERE, "a training loop that is not litgpt.pretrain.fit", "that one", hint))
        if self.iteration >= self._numbering.iterations:
            return  # LitGPT draws one batch more than it trains on
        resumed = self.epochs.resuming
        begun = self.iteration
        for batch in self.epochs:
            if not self._is_whole(batch):
                continue
            rows = self._numbering.rows(self.iteration)
            self._drawn(rows)
            self.iteration += 1
            yield self._infused(rows, batch)
            if self.iteration >= self._numbering.iterations:
                return
        if self.iteration == begun and not resumed:
            found = f"no batch of {self._numbering.batch_size} rows in epoch {self.epochs.started} of the data"
            expected = f"{self._numbering.iterations - begun} more iterations of training"
            hint = "LitGPT would end here as if complete. The loader must start over when it is iterated again."
            raise KISError(Problem(_WHERE, found, expected, hint))

    def __len__(self) -> int:
        """Return the batches of one epoch."""
        return len(self.epochs.loader)

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the run; LitGPT puts it into ``lit_model.pth``."""
        return {"iteration": self.iteration, "epochs": self.epochs.state(), "kis": self.describe()}

    def load_state_dict(self, state: Any) -> None:
        """Continue from a checkpoint; one that was written without KIS is refused when training starts."""
        if isinstance(state, Mapping) and "kis" in state:
            self.restored = state["kis"]
            self.iteration = state["iteration"]
            self.epochs.restore(state["epochs"])

    def _is_whole(self, batch: Any) -> bool:
        """Return whether a batch is trained on: a short one at the end of an epoch is dropped, all else is refused."""
        rows, width = self._numbering.batch_size, self.sequence_length + 1
        ids = isinstance(batch, torch.Tensor) and batch.ndim == 2 and not batch.is_floating_point()
        if not ids or batch.shape[1] < width or len(batch) > rows:
            found = f"a {type(batch).__name__}"
            if isinstance(batch, torch.Tensor):
                found = f"a batch of {batch.dtype} {tuple(batch.shape)}"
            hint = "The wrapped module must give packed rows of max_seq_length + 1 tokens, as LitGPT's own do."
            raise KISError(Problem(_WHERE, found, f"token ids ({rows}, {width} or more)", hint))
        if len(batch) == rows:
            return True
        if self.epochs.started == 1:
            self._notify(f"kis: the last batch of an epoch has {len(batch)} of {rows} rows and is dropped.")
        return False

    def _infused(self, rows: range, batch: torch.Tensor) -> torch.Tensor:  # (B, T + 1 or more)
        """Return the batch with its infused rows; the base's own batch is never changed."""
        assert self._source is not None
        changed = [place for place, row in enumerate(rows) if self._source.infused(row)]
        if not changed:
            return batch
        infused = batch[:, : self.sequence_length + 1].to(torch.int64, copy=True)
        for place in changed:
            base = infused[place].numpy()  # (T + 1,)
            placed = self._source.place(rows[place], base[1:])
            assert placed is not None
            infused[place] = torch.from_numpy(placed.inputs_and_targets(base, self.eos))
        return infused


class _Nothing(IterableDataset[torch.Tensor]):
    """The dataset of a loader that has none of its own."""

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(())
