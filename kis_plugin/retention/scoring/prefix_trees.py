"""Rows that share beginnings, folded into trees of tokens: what many rows begin with is computed once.

A tree is one line of tokens for the model, each of which sees its own ancestors alone and stands at the position that
it has in its rows (SpecInfer's token tree attention, Miao et al. 2024, arXiv 2305.09781, here for scoring). Questions
of one relation share their sentence, options of one question their prefix, and neither has to be told so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray

__all__ = ["Row", "TokenTrees", "Tree", "fold"]

Row = tuple[int, ...]

_WIDTHS = (64, 128, 192, 256, 384, 512)
_ATTENTION = 1024  # tokens of width that cost as much again as a token itself


@dataclass(frozen=True)
class Tree:
    """One line. Its nodes are numbered depth first; the last ``asked`` places are those whose logits are needed.

    Attributes:
        ids: (nodes,) token ids.
        depth: (nodes,) position in the rows.
        number: (nodes,) of each place's node, depth first.
        last: (nodes,) the greatest number below each place's node, its own included.
        asked: How many places, from the end, are asked for their logits.
    """

    ids: IntArray
    depth: IntArray
    number: IntArray
    last: IntArray
    asked: int


@dataclass(frozen=True)
class TokenTrees:
    """All lines, and where in them each scored token is predicted.

    Attributes:
        trees: In the order of their rows.
        line: (scored,) index into ``trees``.
        place: (scored,) the place whose logits predict the token, counted from the line's end: -1 is the last.
    """

    trees: tuple[Tree, ...]
    line: IntArray
    place: IntArray


def fold(rows: Sequence[Row], row: IntArray, position: IntArray, most: int | None = None) -> TokenTrees:
    """Fold rows into trees.

    Args:
        rows: Token ids; a row may begin another one, or be the same.
        row: (scored,) whose row each scored token is in, sorted.
        position: (scored,) the position in it whose logits predict the token.
        most: Nodes that a tree has at most, unless a single row is longer; None for the width that costs least.
    """
    order = sorted(range(len(rows)), key=rows.__getitem__)  # rows that begin alike stand together
    common = _common([rows[number] for number in order])
    lengths = np.array([len(rows[number]) for number in order], dtype=np.int64)
    width = _width(lengths, common) if most is None else most
    starts = np.searchsorted(row, np.arange(len(rows) + 1))
    line, place = np.empty(len(row), dtype=np.int64), np.empty(len(row), dtype=np.int64)
    trees: list[Tree] = []
    growing = _Growing()
    for at, number in enumerate(order):
        shared = int(common[at]) if growing.ids else 0
        if growing.ids and len(growing.ids) + len(rows[number]) - shared > width:
            trees.append(growing.finished(len(trees), line, place))
            growing, shared = _Growing(), 0
        growing.add(rows[number], shared, position, slice(starts[number], starts[number + 1]))
    if growing.ids:
        trees.append(growing.finished(len(trees), line, place))
    return TokenTrees(tuple(trees), line, place)


class _Growing:
    """A tree while rows are added to it, in the order of their tokens."""

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

    def finished(self, number: int, line: IntArray, place: IntArray) -> Tree:
        """Return the tree, its asked nodes last, and note where its scored tokens are predicted."""
        asked = np.zeros(len(self.ids), dtype=np.bool_)
        for _, nodes in self._scored:
            asked[nodes] = True
        order = np.argsort(asked, kind="stable")
        places = np.empty(len(order), dtype=np.int64)
        places[order] = np.arange(len(order)) - len(order)
        for scored, nodes in self._scored:
            line[scored], place[scored] = number, places[nodes]
        columns = (np.array(column, dtype=np.int64)[order] for column in (self.ids, self._depth, self._last))
        ids, depth, last = columns
        return Tree(ids, depth, order.astype(np.int64), last, int(asked.sum()))


def _common(rows: Sequence[Row]) -> IntArray:
    """Return how many first tokens each row shares with the one before it: (rows,)."""
    common = np.zeros(len(rows), dtype=np.int64)
    for at in range(1, len(rows)):
        one, other = rows[at - 1], rows[at]
        shortest = min(len(one), len(other))
        common[at] = next((place for place in range(shortest) if one[place] != other[place]), shortest)
    return common


def _width(lengths: IntArray, common: IntArray) -> int:
    """Return the width at which all trees cost least: wide ones share more, and attend to more."""
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
