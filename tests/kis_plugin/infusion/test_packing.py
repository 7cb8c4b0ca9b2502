"""Packing: whole texts, each once, little waste, an order that is kept where it matters."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kis_plugin.hashing import hashes, permutation
from kis_plugin.infusion.rounds.packing import best_fit, next_fit, reshuffled

lengths_of = st.lists(st.integers(1, 32), min_size=1, max_size=200)


def sizes(packing, lengths):
    return [int(lengths[packing.bin(b)].sum()) for b in range(len(packing))]


@settings(max_examples=100, deadline=None)
@given(lengths=lengths_of, seed=st.integers(0, 2**32))
def test_best_fit_holds_each_text_once_and_wastes_little(lengths, seed):
    array = np.array(lengths, dtype=np.int64)
    order = permutation(len(lengths), seed)
    packing = best_fit(order, array[order], 32)
    assert sorted(packing.texts.tolist()) == list(range(len(lengths)))
    assert max(sizes(packing, array)) <= 32
    # Best fit never needs more than 1.7 of the optimum, plus one (Johnson et al. 1974).
    assert len(packing) <= 1.7 * np.ceil(array.sum() / 32) + 1


def test_best_fit_of_real_lengths_fills_rows():
    lengths = 8 + hashes(5000, 1).astype(np.int64) % 20
    order = permutation(5000, 0)
    assert lengths.sum() / (len(best_fit(order, lengths[order], 256)) * 256) > 0.98


@settings(max_examples=100, deadline=None)
@given(lengths=lengths_of, most=st.none() | st.integers(1, 5))
def test_next_fit_keeps_the_order(lengths, most):
    array = np.array(lengths, dtype=np.int64)
    packing = next_fit(np.arange(len(lengths)), array, 32, most)
    assert packing.texts.tolist() == list(range(len(lengths)))
    assert packing.offsets[-1] == len(lengths)
    assert max(sizes(packing, array)) <= 32
    counts = np.diff(packing.offsets)
    assert counts.min() >= 1
    assert most is None or counts.max() <= most


@settings(max_examples=100, deadline=None)
@given(lengths=lengths_of, seed=st.integers(0, 2**32))
def test_reshuffled_bundles_have_the_same_sizes_and_other_texts(lengths, seed):
    array = np.array(lengths, dtype=np.int64)
    packing = best_fit(np.arange(len(lengths)), array, 32)
    other = reshuffled(packing, array[packing.texts], seed)
    assert sorted(other.texts.tolist()) == list(range(len(lengths)))
    assert sizes(other, array) == sizes(packing, array)


def test_reshuffled_texts_meet_others():
    lengths = np.full(1000, 8)
    packing = best_fit(np.arange(1000), lengths, 64)
    other = reshuffled(packing, lengths, 1)
    pairs = lambda p: {frozenset(p.bin(b)[:2].tolist()) for b in range(len(p))}  # noqa: E731
    assert len(pairs(packing) & pairs(other)) < 10


@given(st.lists(st.integers(1, 30), max_size=60), st.integers(30, 40))
def test_best_fit_takes_the_fullest_bin_that_still_holds_a_text(lengths, capacity):
    packed = best_fit(np.arange(len(lengths)), np.array(lengths, dtype=np.int64), capacity)
    rooms: list[int] = []
    sizes: list[list[int]] = []
    for length in lengths:
        fitting = [room for room in rooms if room >= length]
        if not fitting:
            rooms.append(capacity)
            sizes.append([])
            fitting = [capacity]
        chosen = rooms.index(min(fitting))  # bins with the same room left are interchangeable
        rooms[chosen] -= length
        sizes[chosen].append(length)
    found = sorted(sorted(lengths[text] for text in packed.bin(number)) for number in range(len(packed)))
    assert sorted(map(sum, found)) == sorted(map(sum, sizes))


def test_rows_of_any_length_cost_what_their_texts_cost():
    """A manifest of someone else may name rows of a billion tokens."""
    packed = best_fit(np.arange(1000), np.full(1000, 20), 10**9)
    assert len(packed) == 1
    assert sorted(packed.bin(0)) == list(range(1000))
