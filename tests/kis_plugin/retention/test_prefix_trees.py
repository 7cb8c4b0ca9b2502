"""Prefix trees: no row lost, no prefix twice, every node sees only its own row."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.retention.scoring.prefix_trees import fold

ROWS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), min_size=1, max_size=30, unique=True)


def leaves(rows):
    """Rows that begin no other: what scoring folds."""
    return [row for row in rows if not any(other != row and other[: len(row)] == row for other in rows)]


def every_token(rows):
    row = np.repeat(np.arange(len(rows)), [len(one) for one in rows])
    position = np.concatenate([np.arange(len(one)) for one in rows])
    return row, position


def seen(tree, place):
    """The tokens that a place sees, by depth."""
    sees = (tree.number <= tree.number[place]) & (tree.number[place] <= tree.last)
    at = np.flatnonzero(sees)
    return tree.ids[at[np.argsort(tree.depth[at])]].tolist(), sorted(tree.depth[at].tolist())


@given(ROWS, st.integers(1, 40))
def test_every_node_sees_its_ancestors_alone(rows, most):
    rows = leaves(rows)
    row, position = every_token(rows)
    trees = fold(rows, row, position, most)
    for number, at, line, place in zip(row, position, trees.tree_of, trees.place, strict=True):
        tree = trees.trees[line]
        tokens, depths = seen(tree, len(tree.ids) + place)
        assert tuple(tokens) == rows[number][: at + 1]
        assert depths == list(range(at + 1))


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=4).map(tuple), min_size=1, max_size=20))
def test_prefixes_and_equal_rows_add_no_nodes(rows):
    row, position = every_token(rows)
    trees = fold(rows, row, position, 1000)
    (tree,) = trees.trees
    assert len(tree.ids) == len({one[: at + 1] for one in rows for at in range(len(one))})
    for number, at, place in zip(row, position, trees.place, strict=True):
        assert tuple(seen(tree, len(tree.ids) + place)[0]) == rows[number][: at + 1]


@given(ROWS, st.integers(1, 40))
def test_a_shared_prefix_is_stored_once(rows, most):
    rows = leaves(rows)
    row, position = every_token(rows)
    trees = fold(rows, row, position, most)
    for number, tree in enumerate(trees.trees):
        inside = {rows[one] for one in row[trees.tree_of == number]}
        beginnings = {one[:length] for one in inside for length in range(1, len(one) + 1)}
        assert len(tree.ids) == len(beginnings)
        assert len(tree.ids) <= most or len(inside) == 1
    assert sum(len({rows[one] for one in row[trees.tree_of == number]}) for number in range(len(trees.trees))) == len(
        rows
    )


@given(ROWS, st.data())
def test_nodes_that_need_logits_stand_last(rows, data):
    rows = leaves(rows)
    row, position = every_token(rows)
    some = np.array(data.draw(st.lists(st.booleans(), min_size=len(row), max_size=len(row))))
    trees = fold(rows, row[some], position[some])
    for number, tree in enumerate(trees.trees):
        places = set(trees.place[trees.tree_of == number].tolist())
        assert places == set(range(-tree.tail, 0))


def test_questions_of_one_relation_share_their_prefix():
    sentence, names = tuple(range(100, 130)), range(40)
    rows = [(*sentence, name, option) for name in names for option in range(4)]
    row = np.arange(len(rows))
    trees = fold(rows, row, np.full(len(rows), len(sentence)), 128)
    nodes = sum(len(tree.ids) for tree in trees.trees)
    # Each tree has the sentence once, and perhaps the name again that the tree before ended with.
    assert 0 <= nodes - (40 * 5 + 3 * len(sentence)) < 3
