"""A look at the rows of a map-style dataset before training: their lengths, and what their labels are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kis_plugin.hashing import IntArray, permutation
from kis_torch.labels import LabelRule, label_rule

__all__ = ["RowSurvey", "survey_rows"]

_EXAMINED = 64  # rows that are read of a dataset whose lengths are known, or that is too large to be read
_ALL = 20_000  # rows up to which a dataset of unknown lengths is read as a whole


@dataclass(frozen=True)
class RowSurvey:
    """What rows of a dataset are like.

    Attributes:
        lengths: (rows,) tokens of each row; (1,) where all that were looked at have one length.
        rule: What their labels are.
    """

    lengths: IntArray
    rule: LabelRule

    @property
    def uniform(self) -> bool:
        """Whether all rows have one length."""
        return len(self.lengths) == 1


def survey_rows(dataset: Any, infuses: bool = True) -> RowSurvey | None:
    """Look at rows of a map-style dataset.

    Args:
        dataset: The data.
        infuses: Whether anything is to be infused; else no labels are refused.

    Returns:
        None where examples are no mappings with ``input_ids``, or where they differ in length and are too many to be
        read: such rows can be looked at only in the batches that they are collated to.

    Raises:
        KISError: Labels that are neither the ids of their row nor those of the next token.
    """
    count = len(dataset)
    known = _arrow_lengths(dataset)
    looked_at = {0, count - 1, *permutation(min(count, 1 << 20), 0)[:_EXAMINED].tolist()} if count else set()
    examples = [dataset[index] for index in sorted(looked_at)]
    if not examples or not all(_is_example(example) for example in examples):
        return None
    rule = label_rule((one["input_ids"], one["labels"]) for one in examples if infuses and _has_labels(one))
    lengths = known if known is not None else np.array([len(one["input_ids"]) for one in examples], dtype=np.int64)
    if (lengths == lengths[0]).all():
        return RowSurvey(lengths[:1], rule)
    if known is None and count > _ALL:
        return None
    if known is None:
        lengths = np.fromiter((len(one["input_ids"]) for one in _all(dataset)), dtype=np.int64, count=count)
    return RowSurvey(lengths, rule)


def _all(dataset: Any) -> Iterator[Any]:
    return (dataset[index] for index in range(len(dataset)))


def _is_example(example: Any) -> bool:
    ids = example.get("input_ids") if isinstance(example, Mapping) else None
    return ids is not None and np.ndim(ids) == 1 and len(ids) > 0


def _has_labels(example: Mapping[str, Any]) -> bool:
    labels = example.get("labels")
    return labels is not None and np.ndim(labels) == 1


def _arrow_lengths(dataset: Any) -> IntArray | None:
    """Return the lengths of all rows of a ``datasets.Dataset``, (rows,), without reading them; None for others."""
    table: Any = getattr(dataset, "data", None)
    if "input_ids" not in getattr(table, "column_names", ()) or not hasattr(dataset, "_indices"):
        return None
    if dataset.format["type"] == "custom":  # a transform makes the rows when they are read
        return None
    import pyarrow.compute as arrow  # type: ignore[import-untyped]

    lengths = arrow.list_value_length(table.column("input_ids")).to_numpy()
    chosen: Any = dataset._indices
    if chosen is not None:  # after select() or shuffle()
        lengths = lengths[chosen.column(0).to_numpy()]
    return np.asarray(lengths, dtype=np.int64)
