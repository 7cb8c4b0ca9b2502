"""Difference sampling: selects what is much more likely under a large model than under a small one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kis_plugin.difference.score_file import UNITS, read_gaps
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray, hashes
from kis_plugin.knowledge.facts import Fact, Passage

__all__ = ["Difference", "kept_of", "largest"]

_TIES = 21  # key of the hash that breaks ties


@dataclass(frozen=True)
class Difference:
    """Selects the entries with the largest difference between a large and a small model's log-likelihood.

    MiniPLM (Gu et al. 2024, arXiv 2410.17215) keeps the top part of a corpus by ``log p_large(x) - log p_small(x)``.
    Common text is easy for both models and noise is hard for both; a large difference marks what a larger model learns
    and a small one does not. Their texts are pieces of one length, scored per token by models of one tokenizer. Facts
    and passages have many lengths and the models may have two tokenizers, so by default the difference is per byte.
    """

    scores: Path | None = None
    """A file written by ``kis score``."""
    keep: float = 0.5
    """How many to keep: a fraction up to 1, or a whole number above 1. MiniPLM's published corpus keeps 0.5."""
    unit: str = "byte"
    """What the difference is the mean of: nats per ``byte``, or per ``token`` as in MiniPLM, for models that share a
    tokenizer."""
    name: str = "difference"

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: ``keep`` is out of range, or there is no such unit.
        """
        if self.unit not in UNITS:
            raise ValueError(f"one of {', '.join(UNITS)}")
        number = isinstance(self.keep, (int, float)) and not isinstance(self.keep, bool)
        if not number or not (0 < self.keep <= 1 or (self.keep > 1 and float(self.keep).is_integer())):
            raise ValueError("a part above 0 and up to 1, or a whole number above 1")

    def select(self, entries: Sequence[Fact] | Sequence[Passage], seed: int) -> IntArray:
        """Return the indices of the largest gaps, in order: exactly ``int(keep * entries)``, or ``keep`` of them.

        Ties are broken by a hash of the seed.

        Raises:
            KISError: No file of scores, entries without a score for their present content, or fewer entries than
                ``keep``.
        """
        where = "infusion.selection.scores"
        if self.scores is None:
            hint = "kis score kis.yaml --small MODEL --large MODEL -o scores.jsonl makes it."
            raise KISError(Problem(where, "nothing", "a file of scores", hint))
        if not len(entries):
            return np.empty(0, dtype=np.int64)
        count = self._count(len(entries))
        return largest(read_gaps(Path(self.scores), entries, where, self.unit), count, seed)

    def _count(self, entries: int) -> int:
        count = kept_of(self.keep, entries)
        if not 1 <= count <= entries:
            found = f"{self.keep:g}, which is {count} of {entries:,}"
            raise KISError(Problem("infusion.selection.keep", found, f"1 to {entries:,} of them, or a part"))
        return count


def kept_of(keep: float, count: int) -> int:
    """Return how many of ``count`` are kept: a fraction of them, rounded down as in MiniPLM, or a whole number."""
    return int(keep * count) if keep <= 1 else int(keep)


def largest(gaps: npt.NDArray[np.float64], count: int, seed: int) -> IntArray:
    """Return the places of the ``count`` largest gaps, sorted; ties are broken by a hash of the seed."""
    # Descending by gap; ``lexsort`` takes the primary key last. Breaking ties by position would favour the top of the
    # file.
    order = np.lexsort((hashes(len(gaps), seed, _TIES), -gaps))
    return np.sort(order[:count]).astype(np.int64)
