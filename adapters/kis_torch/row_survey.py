"""A look at the rows of the data before training: their lengths, and what their labels are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, IterableDataset

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray, permutation
from kis_torch.batch import BatchRows
from kis_torch.collating import CheckedCollator, same_random_state
from kis_torch.labels import LabelRule, label_rule

__all__ = ["RowSurvey", "distinct_tokens", "gives_batches", "survey_batches", "survey_rows"]

_EXAMINED = 64  # rows that are read of a dataset whose lengths are known, or that is too large to be read
_ALL = 20_000  # rows up to which a dataset of unknown lengths is read as a whole


@dataclass(frozen=True)
class RowSurvey:
    """What rows of a dataset are like.

    Attributes:
        lengths: (rows,) tokens of each row; (1,) where all that were looked at have one length.
        rule: What their labels are.
        tokens: (n,) distinct token ids of the rows that were looked at.
    """

    lengths: IntArray
    rule: LabelRule
    tokens: IntArray

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
    tokens = np.unique(np.concatenate([np.asarray(one["input_ids"], dtype=np.int64) for one in examples]))
    if (lengths == lengths[0]).all():
        return RowSurvey(lengths[:1], rule, tokens)
    if known is None and count > _ALL:
        return None
    if known is None:
        lengths = np.fromiter((len(one["input_ids"]) for one in _all(dataset)), dtype=np.int64, count=count)
    return RowSurvey(lengths, rule, tokens)


def gives_batches(data: Any) -> bool:
    """Return whether ``data`` gives whole batches: a loader, or a function that makes one batch."""
    return isinstance(data, DataLoader) or (callable(data) and not hasattr(data, "__getitem__"))


def survey_batches(
    data: Any, collate: Callable[[Any], Any] | None, batch_size: int, infuses: bool = True
) -> tuple[RowSurvey, bool]:
    """Look at the rows of some batches, as a loop will be given them; no random state changes.

    Args:
        data: A loader, or a function that makes a batch; with a collator, a dataset or a stream of examples.
        collate: Makes a batch of a list of examples.
        batch_size: Rows of a batch.
        infuses: Whether anything is to be infused; else no labels are refused.

    Returns:
        The survey, and whether it is of a sample of the rows.

    Raises:
        KISError: No batch, one without token ids, labels of two kinds; a stream that can be read once only.
    """
    count = max(_EXAMINED // batch_size, 1)
    with same_random_state():
        batches = [BatchRows.of(batch, batch_size) for batch in islice(_batches(data, collate, batch_size), count)]
    if not batches:
        raise KISError(Problem("dataset", f"no batch of {batch_size} rows", "at least one"))
    rule = label_rule((pair for one in batches for pair in one.label_pairs() if infuses), "dataset")
    lengths = np.concatenate([one.lengths for one in batches])
    tokens = distinct_tokens(batches)
    whole = survey_rows(data, infuses=False) if _map_style(data) and len(data) else None
    if whole is not None:  # a collator may cut rows, never lengthen them
        return RowSurvey(np.minimum(whole.lengths, lengths.max()), rule, tokens), False
    same = bool((lengths == lengths[0]).all()) and not any(one.joined for one in batches)
    return RowSurvey(lengths[:1] if same else lengths, rule, tokens), not same


def distinct_tokens(batches: Iterable[BatchRows]) -> IntArray:
    """Return the distinct token ids of some batches, (n,), padding left out."""
    rows = [one.columns["input_ids"][row, first:stop] for one in batches for row, first, stop in one.bounds]
    return np.unique(np.concatenate([row.cpu().numpy().astype(np.int64) for row in rows]))


def _batches(data: Any, collate: Callable[[Any], Any] | None, batch_size: int) -> Iterator[Any]:
    if collate is None:
        return iter(data, object()) if not isinstance(data, DataLoader) else iter(data)
    examples: Iterable[Any]
    if not _map_style(data):
        examples = iter(data)
        if examples is iter(data):
            hint = "Rows that are looked at before training would be missing from it."
            expected = "one that iter() starts again"
            raise KISError(Problem("dataset", "a stream that can be read once only", expected, hint))
    else:
        examples = (data[index] for index in permutation(len(data), 0)[: max(_EXAMINED, batch_size)].tolist())
    checked = CheckedCollator(collate, "collate_fn")
    return (
        checked(batch) for batch in iter(lambda: list(islice(examples, batch_size)), []) if len(batch) == batch_size
    )


def _map_style(data: Any) -> bool:
    return hasattr(data, "__getitem__") and not isinstance(data, IterableDataset)


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
