"""The model's input of a forward pass: rows as they are, or rows folded into prefix trees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from kis_plugin.hashing import IntArray
from kis_plugin.retention.scoring.forward_passes import is_out_of_memory
from kis_plugin.retention.scoring.prefix_trees import PrefixTrees, Row, fold
from kis_plugin.run.model_view import ModelView, TreeView
from kis_plugin.run.ranks import Ranks

__all__ = ["PlainRows", "TreeRows", "why_no_trees"]

_TRIED = 4  # rows that a model is tried on
_CLOSE = 0.02  # largest change of a logit, relative to the spread of logits: training dtypes are coarse


class PlainRows:
    """Rows, padded on the right: any causal model takes them.

    Args:
        rows: Token ids.
        row: (scored,) indices into ``rows``, sorted.
        position: (scored,) positions whose logits predict the scored tokens.
        token: (scored,)
    """

    def __init__(self, rows: Sequence[Row], row: IntArray, position: IntArray, token: IntArray) -> None:
        self.rows, self.batch_row, self.position, self.token = rows, row, position, token
        self.lengths = self.tails = np.array([len(one) for one in rows], dtype=np.int64)
        self.order = np.arange(len(token))

    def logits(self, model: ModelView, rows: IntArray, width: int, tail: int) -> torch.Tensor:
        """Return (rows, width, V): ``tail`` is the width, since padding stands at the end."""
        ids = torch.zeros((len(rows), width), dtype=torch.int64)  # (B, T)
        for place, row in enumerate(rows.tolist()):
            ids[place, : len(self.rows[row])] = torch.tensor(self.rows[row])
        return model.logits(ids)

    def columns(self, scored: slice, width: int, tail: int) -> IntArray:
        """Return the positions."""
        return self.position[scored]

    def shortest(self, count: int) -> PlainRows:
        """Return the last ``count`` rows alone, which are the shortest."""
        first = max(len(self.rows) - count, 0)
        start = int(np.searchsorted(self.batch_row, first))
        return PlainRows(self.rows[first:], self.batch_row[start:] - first, self.position[start:], self.token[start:])


class TreeRows:
    """Prefix trees, one to a row, padded on the left, so that the scored nodes stand at the end of every row.

    Args:
        trees: The trees.
        token: (scored,) in the order of ``trees.tree_of``.

    Attributes:
        order: (scored,) the index into ``token`` of each scored token here, where they are sorted by tree.
    """

    def __init__(self, trees: PrefixTrees, token: IntArray) -> None:
        self.order = np.argsort(trees.tree_of, kind="stable")
        self.batch_row, self.token = trees.tree_of[self.order], token[self.order]
        self._place, self._trees = trees.place[self.order], trees.trees
        self.lengths = np.array([len(tree.ids) for tree in trees.trees], dtype=np.int64)
        self.tails = np.array([tree.tail for tree in trees.trees], dtype=np.int64)

    def logits(self, model: ModelView, rows: IntArray, width: int, tail: int) -> torch.Tensor:
        """Return (rows, tail, V)."""
        assert isinstance(model, TreeView)
        shape = (len(rows), width)
        ids, positions = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        # Padding gets node numbers of its own, below all others, so that each padding token sees itself alone.
        number = np.tile(np.arange(-width, 0), (len(rows), 1))  # (B, T) node of each place
        last = number.copy()  # (B, T) its last descendant
        for place, row in enumerate(rows.tolist()):
            tree = self._trees[row]
            part = slice(width - len(tree.ids), width)
            ids[place, part], positions[place, part] = tree.ids, tree.depth
            number[place, part], last[place, part] = tree.number, tree.last
        # Token i sees token j if j is an ancestor of i (or i itself): depth-first numbers of j's descendants, and
        # only those, lie between j and its last descendant. sees[b, i, j]: (B, T, T).
        sees = (number[:, None] <= number[:, :, None]) & (number[:, :, None] <= last[:, None])
        return model.tree_logits(torch.from_numpy(ids), torch.from_numpy(positions), torch.from_numpy(sees), tail)

    def columns(self, scored: slice, width: int, tail: int) -> IntArray:
        """Return the columns among the last ones."""
        return tail + self._place[scored]


def why_no_trees(model: ModelView, rows: PlainRows, ranks: Ranks) -> str:
    """Try, on the shortest rows, whether a model scores prefix trees as it scores plain rows.

    Args:
        model: In evaluation mode.
        rows: The rows to be scored, longest first.
        ranks: Every rank calls this, and all come to the same decision.

    Returns:
        What is wrong with trees in this model; empty where nothing is.
    """
    if len(rows.rows) < 2:
        return "there is nothing to share"
    if not isinstance(model, TreeView):
        return "the model takes no positions and masks"
    refused = model.refuses_trees(int(rows.lengths.max()))
    if refused:
        return refused
    tried = rows.shortest(_TRIED)
    plain = _plain_logits(model, tried)
    # Ranks that hold parts of a model agree before they run it again: none may do so alone.
    if ranks.greatest(int(plain is None)):
        return "there is no memory to try them"
    assert plain is not None
    found = _difference(model, tried, plain)
    anywhere = ranks.sum(np.array([bool(found)], dtype=np.int64))[0]
    return found or ("another process found them wrong" if anywhere else "")


def _plain_logits(model: ModelView, rows: PlainRows) -> torch.Tensor | None:
    """Return the logits of all rows, (rows, T, V); None where memory does not suffice."""
    longest = int(rows.lengths[0])
    try:
        with torch.no_grad():
            return rows.logits(model, np.arange(len(rows.rows)), longest, longest).float()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def _difference(model: TreeView, rows: PlainRows, plain: torch.Tensor) -> str:
    """Return how logits over a tree differ from those over plain rows, (rows, T, V); empty where they agree."""
    # All rows in one tree: only where it branches does it matter which tokens see which.
    trees = TreeRows(fold(rows.rows, rows.batch_row, rows.position, int(rows.lengths.sum())), rows.token)
    width = int(trees.lengths[0])
    with torch.no_grad():
        try:
            folded = trees.logits(model, np.arange(1), width, int(trees.tails[0])).float()  # (1, tail, V)
        except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
            return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    columns = torch.from_numpy(trees.columns(slice(None), width, int(trees.tails[0])))
    at = trees.order
    expected = plain[torch.from_numpy(rows.batch_row[at]), torch.from_numpy(rows.position[at])]  # (scored, V)
    change = (folded[0, columns].cpu() - expected.cpu()).abs().max()
    spread = (expected - expected.mean(dim=1, keepdim=True)).abs().max().cpu()
    # A NaN on either side compares as False: trees are refused, and plain rows show what the model gives.
    return "" if change <= _CLOSE * spread else f"its logits change by {float(change):.3g}"
