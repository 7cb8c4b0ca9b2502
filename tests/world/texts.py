"""Items with tokens of their own, and plain counts of what a plan's rows carry."""

from __future__ import annotations

import numpy as np

from kis_plugin.tokenized.texts import TokenizedTexts

EOS = 0


def make_texts(*by_template: list[int], own: list[int] | None = None, eos: bool = True) -> TokenizedTexts:
    """Items of given lengths, a list a template: text t is [t + 1, t + 1, ..., EOS]."""
    lengths = np.array([length for template in by_template for length in template], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = np.repeat(np.arange(len(lengths), dtype=np.int32) + 1, lengths)
    if eos:
        tokens[offsets[1:] - 1] = EOS
    count = len(by_template[0])
    owned = np.array(own or [len(by_template)] * count, dtype=np.uint8)
    return TokenizedTexts(tokens, offsets, np.arange(count), owned, len(by_template), None, f"{lengths.tolist()}")


def shown(plan) -> np.ndarray:
    """Exposures of each text, (templates, items), read off the rows one by one."""
    counts = np.zeros(plan.texts.templates * len(plan), dtype=np.int64)
    for row in range(plan.rows):
        texts = plan.texts_in(row)
        if texts is not None:
            counts[texts] += 1
    return counts.reshape(plan.texts.templates, len(plan))


def rows_of(plan, item: int) -> list[int]:
    """The rows that tell one item, in order."""
    infused = ((row, plan.texts_in(row)) for row in range(plan.rows))
    return [row for row, texts in infused if texts is not None and item in texts % len(plan)]
