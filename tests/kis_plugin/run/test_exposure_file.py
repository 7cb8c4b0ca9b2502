"""Exposures on disk: what was written is read, quickly."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kis_plugin.run.exposure_file import SavedExposures, exposures_path, read_exposures, write_exposures


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return exposures_path(tmp_path_factory.mktemp("run"), 7)


@given(
    counts=arrays.arrays(np.int64, st.integers(0, 40), elements=st.integers(0, 2**40)),
    counted_from=st.integers(0, 10**9),
    items=st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=16),
)
def test_what_is_written_is_read(path, counts, counted_from, items):
    write_exposures(path, SavedExposures(counts, counted_from, items))
    found = read_exposures(path)
    assert (found.counts.tolist(), found.counted_from, found.items) == (counts.tolist(), counted_from, items)
    assert found.counts.dtype == np.int64


def test_a_file_of_an_older_version_is_read(path):
    np.savez_compressed(path, exposures=np.arange(5))
    found = read_exposures(path)
    assert (found.counts.tolist(), found.counted_from, found.items) == ([0, 1, 2, 3, 4], 0, "")


@pytest.mark.parametrize("exposures", [np.zeros((2, 2), dtype=np.int64), np.array([-1]), np.array([0.5])])
def test_what_is_no_counts_is_not_taken_for_counts(path, exposures):
    np.savez_compressed(path, exposures=exposures)
    assert read_exposures(path) == "it is damaged (no counts)"


@pytest.mark.parametrize("spread", [1, 9])
def test_ten_million_exposures_take_a_fifth_of_a_second(path, spread):
    counts = 64 + np.random.default_rng(0).integers(0, spread, 10_000_000)
    seconds = []
    for _ in range(5):
        start = time.process_time()  # of this process: others may share the machine
        write_exposures(path, SavedExposures(counts))
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.2
