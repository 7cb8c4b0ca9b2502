"""What a pass shows the model: rows as they are, or rows folded into trees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from kis_plugin.hashing import IntArray
from kis_plugin.retention.scoring.prefix_trees import Row, TokenTrees, fold
from kis_plugin.run.model_view import ModelView, TreeView
from kis_plugin.run.ranks import Ranks

__all__ = ["RowLines", "TreeLines", "why_no_trees"]

_TRIED = 4  # rows that a model is tried on
_CLOSE = 0.02  # largest change of a log-probability, relative to the spread of logits: training dtypes are coarse


class RowLines:
    """Rows, padded on the right: any causal model takes them.

    Args:
        rows: Token ids.
        row: (scored,) indices into ``rows``, sorted.
        position: (scored,) positions whose logits predict the scored tokens.
        token: (scored,)
    """

    def __init__(self, rows: Sequence[Row], row: IntArray, position: IntArray, token: IntArray) -> None:
        self.rows, self.line, self.position, self.token = rows, row, position, token
        self.lengths = self.asked = np.array([len(one) for one in rows], dtype=np.int64)
        self.order = np.arange(len(token))

    def logits(self, model: ModelView, lines: IntArray, width: int, last: int) -> torch.Tensor:
        """Return (lines, width, V): ``last`` is the width, since rows begin at its left."""
        ids = torch.zeros((len(lines), width), dtype=torch.int64)  # (B, T)
        for place, line in enumerate(lines.tolist()):
            ids[place, : len(self.rows[line])] = torch.tensor(self.rows[line])
        return model.logits(ids)

    def columns(self, scored: slice, width: int, last: int) -> IntArray:
        """Return the positions."""
        return self.position[scored]

    def some(self, count: int) -> RowLines:
        """Return the last rows alone, the shortest."""
        first = max(len(self.rows) - count, 0)
        start = int(np.searchsorted(self.line, first))
        return RowLines(self.rows[first:], self.line[start:] - first, self.position[start:], self.token[start:])


class TreeLines:
    """Trees, padded on the left, so that what is asked stands at the end of every line.

    Args:
        trees: What is shown.
        token: (scored,) in the order of ``trees.line``.

    Attributes:
        order: (scored,) the place in ``token`` of each scored token here, where they are sorted by line.
    """

    def __init__(self, trees: TokenTrees, token: IntArray) -> None:
        self.order = np.argsort(trees.line, kind="stable")
        self.line, self.token = trees.line[self.order], token[self.order]
        self._place, self._trees = trees.place[self.order], trees.trees
        self.lengths = np.array([len(tree.ids) for tree in trees.trees], dtype=np.int64)
        self.asked = np.array([tree.asked for tree in trees.trees], dtype=np.int64)

    def logits(self, model: ModelView, lines: IntArray, width: int, last: int) -> torch.Tensor:
        """Return (lines, last, V)."""
        assert isinstance(model, TreeView)
        shape = (len(lines), width)
        ids, positions = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        # What pads has numbers of its own, below all others, and so sees itself alone.
        number = np.tile(np.arange(-width, 0), (len(lines), 1))
        below = number.copy()
        for place, line in enumerate(lines.tolist()):
            tree = self._trees[line]
            part = slice(width - len(tree.ids), width)
            ids[place, part], positions[place, part] = tree.ids, tree.depth
            number[place, part], below[place, part] = tree.number, tree.last
        sees = (number[:, None] <= number[:, :, None]) & (number[:, :, None] <= below[:, None])  # (B, T, T)
        return model.tree_logits(torch.from_numpy(ids), torch.from_numpy(positions), torch.from_numpy(sees), last)

    def columns(self, scored: slice, width: int, last: int) -> IntArray:
        """Return the columns among the last ones."""
        return last + self._place[scored]


def why_no_trees(model: ModelView, lines: RowLines, ranks: Ranks) -> str:
    """Try whether a model scores trees as it scores rows, on the shortest of some rows.

    Args:
        model: In evaluation mode.
        lines: What it is to score, longest row first.
        ranks: Every rank calls this, and all find trees right or none.

    Returns:
        What is wrong with trees in this model; empty where nothing is.
    """
    found = _wrong(model, lines)
    anywhere = ranks.sum(np.array([bool(found)], dtype=np.int64))[0]
    return found or ("another process found them wrong" if anywhere else "")


def _wrong(model: ModelView, lines: RowLines) -> str:
    if len(lines.rows) < 2:
        return "there is nothing to share"
    if not isinstance(model, TreeView):
        return "there is no way to give it positions and a mask"
    return model.refuses_trees(int(lines.lengths.max())) or _trial(model, lines.some(_TRIED))


def _trial(model: TreeView, rows: RowLines) -> str:
    # All in one tree: only where it branches does it matter what tokens see.
    trees = TreeLines(fold(rows.rows, rows.line, rows.position, int(rows.lengths.sum())), rows.token)
    width, every = int(trees.lengths[0]), int(rows.lengths[0])
    with torch.no_grad():
        plain = rows.logits(model, np.arange(len(rows.rows)), every, every).float()  # (rows, T, V)
        try:
            folded = trees.logits(model, np.arange(1), width, int(trees.asked[0])).float()  # (1, asked, V)
        except torch.cuda.OutOfMemoryError:
            raise
        except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
            return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    columns = torch.from_numpy(trees.columns(slice(None), width, int(trees.asked[0])))
    at = trees.order
    expected = plain[torch.from_numpy(rows.line[at]), torch.from_numpy(rows.position[at])]  # (scored, V)
    change = (folded[0, columns].cpu() - expected.cpu()).abs().max()
    spread = (expected - expected.mean(dim=1, keepdim=True)).abs().max().cpu()
    return "" if change <= _CLOSE * spread else f"its logits change by {float(change):.3g}"
