"""The grid: sizes, frequencies on a log scale, seeds of the upper frequencies, first runs of an adaptive sweep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_sweep.grid import cells_of, first_runs, parse_frequencies, parse_sizes


def test_sizes_are_parsed_and_sorted():
    assert parse_sizes("3M, 1M,500k") == [500_000, 1_000_000, 3_000_000]


@pytest.mark.parametrize("text", ["1M,1000k", "much", "", "1M,,2M", "-1M"])
def test_invalid_or_repeated_sizes_are_refused(text):
    with pytest.raises(KISError, match="--sizes"):
        parse_sizes(text)


def test_range_is_log_spaced_and_rounded_to_integers():
    assert parse_frequencies("4..4096", 11) == [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]


def test_numbers_and_ranges_are_merged_without_duplicates():
    assert parse_frequencies("0,16, 4..64", 3) == [0, 4, 16, 64]


@pytest.mark.parametrize("text", ["8..4", "0..8", "4...8", "-3", "x", "nan", "4..inf", "1e300..1e301"])
def test_invalid_frequencies_are_refused(text):
    with pytest.raises(KISError, match="--frequency"):
        parse_frequencies(text, 5)


@given(st.integers(1, 50), st.integers(2, 10_000), st.integers(2, 30))
def test_range_contains_its_ends_and_is_increasing(low, more, points):
    found = parse_frequencies(f"{low}..{low + more}", points)
    assert found[0] == low
    assert found[-1] == low + more
    assert len(found) <= points
    assert (np.diff(found) > 0).all()


def test_seeds_repeat_the_upper_half_of_the_frequencies():
    cells = cells_of([10, 20], [0, 1, 2, 4, 8], 2)
    assert len(cells) == len(set(cells)) == 2 * (5 + 2)
    assert {cell.frequency for cell in cells if cell.seed == 1} == {4, 8}


def test_first_runs_span_the_frequencies():
    assert first_runs([0, 1, 2, 4, 8, 16, 32, 64], 3) == [0, 1, 8, 64]
    assert first_runs([1, 2], 5) == [1, 2]
