"""Rows with common prefixes, folded into trees of tokens: a prefix that many rows share is computed once.

A tree is one row of tokens for the model, each of which sees only its own ancestors and stands at the position that it
has in its rows (SpecInfer's token tree attention, Miao et al. 2024, arXiv 2305.09781, here for scoring). Questions of
one relation share their sentence, options of one question their prefix; both are found by comparing tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray

__all__ = ["PrefixTree", "PrefixTrees", "Row", "fold"]

Row = tuple[int, ...]

_WIDTHS = (64, 128, 192, 256, 384, 512)
_ATTENTION = 1024  # at this width attention costs a token as much as everything else


@dataclass(frozen=True)
class PrefixTree:
    """One tree. Its nodes are numbered depth first; the last ``tail`` places hold the nodes whose logits are needed.

    Attributes:
        ids: (nodes,) token ids.
        depth: (nodes,) position in the rows.
        number: (nodes,) depth-first number of the node at each place.
        last: (nodes,) the greatest number among the node's descendants, itself included.
        tail: How many places, from the end, need logits.
    """

    ids: IntArray
    depth: IntArray
    number: IntArray
    last: IntArray
    tail: int


@dataclass(frozen=True)
class PrefixTrees:
    """All trees, and where in them each scored token is predicted.

    Attributes:
        trees: In the order of their rows.
        tree_of: (scored,) index into ``trees``.
        place: (scored,) the place whose logits predict the token, counted from the tree's end: -1 is the last.
    """

    trees: tuple[PrefixTree, ...]
    tree_of: IntArray
    place: IntArray


def fold(rows: Sequence[Row], row: IntArray, position: IntArray, most: int | None = None) -> PrefixTrees:
    """Fold rows into trees.

    Args:
        rows: Token ids; a row may be a prefix of another one, or equal to it.
        row: (scored,) the row of each scored token, sorted.
        position: (scored,) the position in it whose logits predict the token.
        most: Nodes of a tree at most, unless a single row is longer; None for the width that costs least.
    """
    order = sorted(range(len(rows)), key=rows.__getitem__)  # rows with a common prefix become neighbours
    common = _common_prefixes([rows[number] for number in order])
    lengths = np.array([len(rows[number]) for number in order], dtype=np.int64)
    width = _cheapest_width(lengths, common) if most is None else most
    starts = np.searchsorted(row, np.arange(len(rows) + 1))
    tree_of, place = np.empty(len(row), dtype=np.int64), np.empty(len(row), dtype=np.int64)
    trees: list[PrefixTree] = []
    growing = _GrowingTree()
    for at, number in enumerate(order):
        shared = int(common[at]) if growing.ids else 0
        if growing.ids and len(growing.ids) + len(rows[number]) - shared > width:
            trees.append(growing.finished(len(trees), tree_of, place))
            growing, shared = _GrowingTree(), 0
        growing.add(rows[number], shared, position, slice(starts[number], starts[number + 1]))
    if growing.ids:
        trees.append(growing.finished(len(trees), tree_of, place))
    return PrefixTrees(tuple(trees), tree_of, place)


class _GrowingTree:
    """A tree to which rows are added in the order of their tokens, which numbers its nodes depth first."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self._depth: list[int] = []
        self._last: list[int] = []
        self._path: list[int] = []  # the nodes of the row that was added last
        self._scored: list[tuple[slice, npt.NDArray[np.int64]]] = []

    def add(self, row: Row, shared: int, position: IntArray, scored: slice) -> None:
        """Add a row whose first ``shared`` tokens are those of the row before."""
        for depth in range(shared, len(row)):
            node = len(self.ids)
            self.ids.append(row[depth])
            self._depth.append(depth)
            self._last.append(node)
            self._path[depth:] = [node]
        self._path[len(row) :] = []
        for node in self._path:
            self._last[node] = len(self.ids) - 1
        self._scored.append((scored, np.array(self._path, dtype=np.int64)[position[scored]]))

    def finished(self, number: int, tree_of: IntArray, place: IntArray) -> PrefixTree:
        """Return the tree, the nodes that need logits last, and note where its scored tokens are predicted."""
        needed = np.zeros(len(self.ids), dtype=np.bool_)
        for _, nodes in self._scored:
            needed[nodes] = True
        # Places may be in any order, since visibility and position come from number and depth. With the needed nodes
        # at the end the output layer runs on those alone. A stable sort keeps the rest depth first.
        order = np.argsort(needed, kind="stable")
        places = np.empty(len(order), dtype=np.int64)
        places[order] = np.arange(len(order)) - len(order)
        for scored, nodes in self._scored:
            tree_of[scored], place[scored] = number, places[nodes]
        columns = (np.array(column, dtype=np.int64)[order] for column in (self.ids, self._depth, self._last))
        ids, depth, last = columns
        return PrefixTree(ids, depth, order.astype(np.int64), last, int(needed.sum()))


def _common_prefixes(rows: Sequence[Row]) -> IntArray:
    """Return how many first tokens each row shares with the one before it: (rows,)."""
    common = np.zeros(len(rows), dtype=np.int64)
    for at in range(1, len(rows)):
        one, other = rows[at - 1], rows[at]
        shortest = min(len(one), len(other))
        common[at] = next((place for place in range(shortest) if one[place] != other[place]), shortest)
    return common


def _cheapest_width(lengths: IntArray, common: IntArray) -> int:
    """Return the width at which all trees together cost least: wide trees share more, and attend to more."""
    longest = int(lengths.max(initial=0))
    widths = [width for width in _WIDTHS if width >= longest] or [longest]
    return min(widths, key=lambda width: _nodes(lengths.tolist(), common.tolist(), width) * (1 + width / _ATTENTION))


def _nodes(lengths: Sequence[int], common: Sequence[int], width: int) -> int:
    """Return the nodes of all trees of a width."""
    total = size = 0
    for length, shared in zip(lengths, common, strict=True):
        new = length - shared if size else length
        if size + new > width:
            new, size = length, 0
        size += new
        total += new
    return total
