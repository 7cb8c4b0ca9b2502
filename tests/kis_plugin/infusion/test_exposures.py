"""Amounts: three units of one thing, made whole and exact."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kis_plugin.config.schema import InfusionConfig
from kis_plugin.infusion.rounds.exposures import whole_exposures


def test_amounts_agree_in_their_three_units():
    lengths = np.full(100, 10)
    for amount in (InfusionConfig(frequency=2.5), InfusionConfig(tokens=2500), InfusionConfig(share=0.025)):
        counts = whole_exposures(amount, lambda turn: lengths, 100, 1, 100_000, 0).counts(100)
        assert counts.sum() == 250
        assert set(counts.tolist()) == {2, 3}


@settings(max_examples=200, deadline=None)
@given(
    lengths=st.integers(1, 3).flatmap(
        lambda cycle: st.lists(st.lists(st.integers(1, 30), min_size=cycle, max_size=cycle), min_size=1, max_size=50)
    ),
    tokens=st.integers(0, 5000),
    seed=st.integers(0, 2**32),
)
def test_tokens_fall_short_by_less_than_one_item(lengths, tokens, seed):
    table = np.array(lengths).T  # (cycle, items)
    cycle, items = table.shape
    found = whole_exposures(InfusionConfig(tokens=tokens), lambda turn: table[turn % cycle], items, cycle, 0, seed)
    infused = sum(int(table[turn % cycle].sum()) for turn in range(found.rounds))
    infused += int(table[found.rounds % cycle][found.extra].sum())
    assert 0 <= tokens - infused < table.max()
    assert len(found.extra) < items
