"""Exposures on disk: what was written is read, quickly."""

from __future__ import annotations

import os
import struct
import time
import zipfile

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


def members(path, *arrays):
    """Write an archive whose members have the headers that they are given."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, header, content in arrays:
            raw = header.encode("latin1") + b"\n"
            file.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + content)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<i8', 'fortran_order': False, 'shape': (10000000000000000000000,)}",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (100000000000000,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "(" * 5000,
        "\x00",
    ],
    ids=["endless", "long", "objects", "nested", "zero"],
)
def test_a_hostile_header_is_damage(path, header):
    members(path, ("exposures", header, bytes(80)))
    assert str(read_exposures(path)).startswith("it is damaged (")


def test_an_archive_that_would_fill_the_memory_is_not_unpacked(path, monkeypatch):
    monkeypatch.setattr("kis_plugin.storage.array_archive._LARGEST", 10_000)
    np.savez_compressed(path, exposures=np.zeros(10_000, dtype=np.int8))
    assert "a compressed archive of 10,128 bytes" in str(read_exposures(path))


def test_a_pipe_in_place_of_the_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "exposures-1.npz")
    assert read_exposures(tmp_path / "exposures-1.npz") == "it is damaged (no regular file)"


@pytest.mark.parametrize(
    "more",
    [{"counted_from": np.array([1, 2])}, {"counted_from": np.array(-1)}, {"exposures": np.array([2**63], np.uint64)}],
)
def test_what_cannot_be_counts_or_a_step_is_damage(path, more):
    np.savez(path, **({"exposures": np.arange(5)} | more))
    assert str(read_exposures(path)).startswith("it is damaged (")


@given(data=st.binary(max_size=60), at=st.integers(0, 700), seed=st.integers(0, 9))
def test_bytes_that_do_not_belong_there_are_damage_or_change_nothing(path, data, at, seed):
    saved = SavedExposures(np.random.default_rng(seed).integers(0, 9, 50), 3, "ab")
    write_exposures(path, saved)
    raw = path.read_bytes()
    path.write_bytes(raw[:at] + data + raw[at + len(data) :])
    found = read_exposures(path)
    if not isinstance(found, str):
        assert (found.counts.tolist(), found.counted_from, found.items) == (saved.counts.tolist(), 3, "ab")


@pytest.mark.parametrize("spread", [1, 9])
def test_ten_million_exposures_take_a_fifth_of_a_second(path, spread):
    counts = 64 + np.random.default_rng(0).integers(0, spread, 10_000_000)
    seconds = []
    for _ in range(5):
        start = time.process_time()  # of this process: others may share the machine
        write_exposures(path, SavedExposures(counts))
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.2
