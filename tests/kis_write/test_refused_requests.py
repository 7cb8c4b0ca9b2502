"""What files cannot keep is refused before anything is written."""

from __future__ import annotations

import numpy as np
import pytest

from kis_plugin.errors import KISError
from kis_write import write_dataset

BURST = {"frequency": 2, "infusion": {"schedule": "burst"}}
MEGATRON = {"format": "megatron"}
REFUSED = [
    ({"infusion": {"loss": "object"}}, {}, "infusion.loss"),
    ({"infusion": {"attention": "sentence"}}, {}, "infusion.attention"),
    ({"infusion": {"skip_known": True}}, {}, "infusion.skip_known"),
    ({"retention": {"guard": {"action": "throttle"}}}, {}, "retention.guard.action"),
    (BURST, MEGATRON, "infusion.schedule"),
    ({"infusion": {"window": [0.5, 1.0]}}, MEGATRON, "infusion.window"),
    (BURST, MEGATRON | {"mode": "side", "host_seed": 1}, "infusion.schedule"),
    ({"infusion": {"placement": "inline"}}, MEGATRON | {"mode": "side", "host_seed": 1}, "infusion.placement"),
    ({}, {"mode": "side"}, "--mode"),
    ({}, {"format": "olmo"}, "--batch"),
    ({}, {"format": "olmo", "batch": 7}, "OLMo-core drops a partial last batch"),
    ({}, {"format": "mds"}, "--batch"),
    ({}, {"format": "mds", "batch": 7}, "196 or 203"),
    ({}, {"format": "litdata", "batch": 300}, "expected 300"),
    (BURST, {"format": "litdata", "batch": 8}, "infusion.schedule"),
    ({}, {"format": "megatrno"}, "megatron"),
    ({"frequency": 100_000}, {}, "infusion.frequency"),
]


@pytest.mark.parametrize(("config", "changed", "message"), REFUSED)
def test_what_files_cannot_keep_is_refused_by_name(request_for, tmp_path, config, changed, message):
    with pytest.raises(KISError, match=message):
        write_dataset(request_for(config, **changed), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def numpy_file(values, dtype):
    return lambda path: np.save(path, np.array(values, dtype=dtype))


BASES = [
    ("absent.txt", None, "no such file"),
    ("empty.txt", lambda path: path.write_text(""), "no tokens"),
    ("short.txt", lambda path: path.write_text("river stone"), "at least a row"),
    ("floats.npy", numpy_file([0.5], np.float64), "array of token ids"),
    ("square.npy", numpy_file([[1, 2], [3, 4]], np.int32), "one-dimensional"),
    ("large.npy", numpy_file([1, 10**6] * 200, np.int32), "token id 1000000"),
    ("raw.npy", lambda path: path.write_bytes(b"\1\0" * 500), "numpy.save"),
    ("lonely.bin", lambda path: path.write_bytes(b"\1\0" * 500), "the .idx beside a .bin"),
]


@pytest.mark.parametrize(("name", "make", "message"), BASES)
def test_a_base_that_cannot_be_read_is_refused(request_for, tmp_path, name, make, message):
    path = tmp_path / name
    if make:
        make(path)
    with pytest.raises(KISError, match=message):
        write_dataset(request_for(base=(path,)), tmp_path / "out")
    assert not (tmp_path / "out" / "kis.manifest.json").exists()


def test_a_folder_with_anything_else_is_left_alone(request_for, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(KISError, match="other files"):
        write_dataset(request_for(), out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_a_whole_data_set_is_not_written_over_and_other_options_do_not_continue_one(request_for, tmp_path, monkeypatch):
    request = request_for()
    write_dataset(request, tmp_path / "out")
    with pytest.raises(KISError, match="whole"):
        write_dataset(request, tmp_path / "out")
    monkeypatch.setattr("kis_write.write._SHARD_TOKENS", 64 * 30)
    assert write_dataset(request, tmp_path / "part", (1, 2)) is None
    with pytest.raises(KISError, match="the same options"):
        write_dataset(request_for(rows=300), tmp_path / "part", (2, 2))
