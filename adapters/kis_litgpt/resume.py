"""A resume in other batches or on other processes: a step has the same rows, in more or fewer iterations."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, RandomSampler

from kis_litgpt.epochs import Epochs
from kis_litgpt.pretrain_hooks import Host
from kis_plugin.errors import Problem
from kis_plugin.run.ranks import Ranks
from kis_torch.resume import changed_numbers

__all__ = ["Layout", "changed_order", "changed_steps", "deal_to_one", "differs_between_ranks"]


@dataclass(frozen=True)
class Layout:
    """How the rows of an optimizer step are cut.

    Attributes:
        rows_per_iteration: Rows over all ranks.
        iterations_per_step: Iterations of gradient accumulation.
        ranks: Processes.
        dealt: Whether rows are read in the order that Fabric deals to several processes, which differs from that of
            one.
    """

    rows_per_iteration: int
    iterations_per_step: int
    ranks: int
    dealt: bool

    @classmethod
    def of(cls, host: Host, saved: Mapping[str, Any] | None) -> Layout:
        """Return the layout of this run; ``saved`` is what ``kept()`` gave where it is resumed."""
        ranks = int(host.fabric.world_size)
        dealt = ranks > 1 or bool(saved and cls.kept_in(saved).dealt)
        return cls(host.rows_per_iteration, host.iterations_per_step, ranks, dealt)

    @classmethod
    def kept_in(cls, saved: Mapping[str, Any]) -> Layout:
        """Return the layout in a checkpoint."""
        host = saved["host"]
        ranks = int(host.get("ranks", 1))
        return cls(host["rows_per_iteration"], host["iterations_per_step"], ranks, bool(host.get("dealt", ranks > 1)))

    def kept(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it, as JSON values."""
        return dict(vars(self))

    @property
    def rows_per_step(self) -> int:
        """Rows of an optimizer step over all ranks."""
        return self.rows_per_iteration * self.iterations_per_step

    def batches(self, before: Layout, count: int) -> int:
        """Return how many batches of this layout hold the rows of ``count`` batches of another one.

        Raises:
            ValueError: They end inside one.
        """
        batches, rest = divmod(count * before.rows_per_iteration, self.rows_per_iteration)
        if rest:
            raise ValueError(f"{count} batches of {before.rows_per_iteration} rows end inside one of these")
        return batches


def changed_steps(step: int, now: Layout, before: Layout) -> list[Problem]:
    """Return what makes it impossible to go on: steps of another number of rows."""
    hint = "Keep global_batch_size. LitGPT's step must have as many rows as before for row numbers to go on."
    numbers = [{"rows_per_step": layout.rows_per_step} for layout in (now, before)]
    return changed_numbers(step, numbers[0], numbers[1], hint)


def changed_order(step: int, now: Layout, before: Layout, epochs: Epochs) -> list[Problem]:
    """Return why base rows would be repeated or left out. Facts go by the numbers of rows and stay exact."""
    same_ranks, same_batches = now.ranks == before.ranks, now.rows_per_iteration == before.rows_per_iteration
    given, loader = epochs.given * before.rows_per_iteration, epochs.loader
    reason = ""
    if epochs.stateful and not (same_ranks and same_batches):
        reason = "The data loader keeps its place itself, in batches of the old size on the old processes."
    elif isinstance(getattr(loader, "dataset", None), IterableDataset) and not same_ranks:
        reason = "An iterable dataset decides itself which rows each process reads."
    elif isinstance(loader.sampler, RandomSampler) and now.dealt and not before.dealt:
        reason = "Fabric shuffles for several processes by a sampler of its own: the order is another one."
    elif given % now.rows_per_iteration:
        reason = f"{given} rows of the epoch were read, which is no whole number of the new batches."
    if not reason:
        return []
    found = f"{now.rows_per_iteration} rows an iteration on {now.ranks} processes"
    expected = f"{before.rows_per_iteration} on {before.ranks} as before"
    hint = f"{reason} Counts of facts stay exact: on_mismatch: warn goes on, with base text repeated or left out."
    return [Problem(f"resume at step {step}: data", found, expected, hint)]


def differs_between_ranks(state: Any, ranks: Ranks) -> bool:
    """Return whether a state that LitGPT saves on rank 0 alone is another one on other ranks. Every rank calls it."""
    digest = int.from_bytes(hashlib.sha256(pickle.dumps(state)).digest()[:7], "big")
    return ranks.greatest(digest) != -ranks.greatest(-digest)


def deal_to_one(loader: DataLoader[Any]) -> None:
    """Let one process read shuffled rows in the order that Fabric deals to several."""
    if isinstance(loader.sampler, RandomSampler) and loader.batch_sampler is not None:
        seed = int(os.getenv("PL_GLOBAL_SEED", "0"))  # as Fabric has it
        dealt: Any = DistributedSampler(loader.dataset, num_replicas=1, rank=0, shuffle=True, seed=seed)
        loader.batch_sampler.sampler = dealt  # type: ignore[attr-defined]
