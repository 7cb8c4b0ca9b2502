"""What the labels of a data set are: its own token ids, or those of the next token, some of them masked."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.placed_row import Placed

__all__ = ["IGNORED", "LABEL_NAMES", "LabelRule", "infused_labels", "label_rule"]

IGNORED = -100
"""A label that no loss is taken of."""
LABEL_NAMES = ("labels", "targets", "target", "label", "y")
"""What labels are called in batches."""
_SHOWN = 8  # tokens of a row that an error shows

Ids = npt.NDArray[np.integer]


class LabelRule(Enum):
    """What the label of token t is, where it is not masked."""

    EQUAL = "labels[t] = input_ids[t]: the model or its loss shifts them"
    SHIFTED = "labels[t] = input_ids[t + 1]: shifted beforehand"

    def holds(self, ids: Ids, labels: Ids) -> bool:
        """Return whether a row, (T,) ids and (T,) labels, keeps to the rule."""
        if self is LabelRule.SHIFTED:
            ids, labels = ids[1:], labels[:-1]
        same = labels == ids
        return bool(same.all() or (same | (labels == IGNORED)).all())


def label_rule(rows: Iterable[tuple[Any, Any]], where: str = "train_dataset") -> LabelRule:
    """Return the rule that the labels of all rows keep to, the plain one if both would do.

    Args:
        rows: Ids and labels, (T,) each, of base rows.
        where: What errors call the data.

    Raises:
        KISError: A row that keeps to neither, or rows that keep to different ones.
    """
    possible = set(LabelRule)
    for ids, labels in rows:
        ids, labels = np.asarray(ids), np.asarray(labels)
        held = {rule for rule in possible if ids.shape == labels.shape and rule.holds(ids, labels)}
        if not held:
            raise KISError(_strange(where, ids, labels))
        possible = held
    return LabelRule.EQUAL if LabelRule.EQUAL in possible else LabelRule.SHIFTED


def infused_labels(rule: LabelRule, placed: Placed, base_ids: Ids, base_labels: Ids, where: str) -> Ids:
    """Return the labels of an infused row, (T,): base tokens keep theirs, infused ones are targets.

    Args:
        rule: Of the data.
        placed: The infused row.
        base_ids: (T,) the base row.
        base_labels: (T,) its labels.
        where: What errors call the row.

    Raises:
        KISError: Labels of the base row that do not keep to the rule.
    """
    if not rule.holds(base_ids, base_labels):
        raise KISError(_strange(where, base_ids, base_labels, rule))
    if rule is LabelRule.EQUAL and placed.targets is None:
        return placed.joined(placed.tokens, base_labels, base_labels.dtype)
    infused = placed.tokens.astype(base_labels.dtype)
    if placed.targets is not None:
        infused = np.where(placed.targets, infused, IGNORED)
    if rule is LabelRule.EQUAL:
        return placed.joined(infused, base_labels)
    # Label t is token t + 1 as a target. The first token of a base row has no label, and is a target behind a text.
    before = np.concatenate([base_ids[:1].astype(base_labels.dtype), base_labels[:-1]])
    targets = placed.joined(infused, before)  # (T,) what is learnt at each token, as a target
    last = placed.pieces[-1]
    end = IGNORED if last.infused else int(base_labels[last.stop - 1])
    return np.concatenate([targets[1:], np.asarray([end], dtype=targets.dtype)])


def _strange(where: str, ids: Ids, labels: Ids, rule: LabelRule | None = None) -> Problem:
    found = f"input_ids {ids[:_SHOWN].tolist()} with labels {labels[:_SHOWN].tolist()} in the first {_SHOWN} tokens"
    expected = rule.value if rule else " or ".join(one.value for one in LabelRule)
    hint = "Infused rows need labels made as those of base rows are; -100 may mask any of them."
    return Problem(where, found, expected, hint)
