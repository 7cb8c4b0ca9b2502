"""The cache: artifacts are built once, complete or absent, and the same for every process."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_plugin.storage.artifact_cache import cache_folder, damaged_artifacts, is_prepared, prepared
from kis_plugin.storage.digests import sampled_digest
from kis_plugin.storage.npy_files import release

KEY = {"file": "facts", "version": 1}
ROOT = Path(__file__).parents[3]


def build(writer):
    writer.put("table", np.arange(6).reshape(2, 3))
    for start in range(0, 10, 4):
        writer.append("long", np.arange(start, min(start + 4, 10), dtype=np.int32))
    writer.meta["names"] = ["a", "ü"]


def never(writer):
    raise AssertionError("built a second time")


def check(found):
    assert found.arrays["table"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.arrays["long"].tolist() == list(range(10))
    assert found.arrays["long"].dtype == np.int32
    assert found.meta == {"names": ["a", "ü"]}


def test_without_a_folder_it_is_built_in_memory():
    check(prepared(None, "thing", KEY, build))


def test_it_is_built_once_and_found_again(tmp_path):
    assert not is_prepared(tmp_path, "thing", KEY)
    check(prepared(tmp_path, "thing", KEY, build))
    assert is_prepared(tmp_path, "thing", KEY)
    check(prepared(tmp_path, "thing", {"version": 1, "file": "facts"}, never))
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_another_key_or_kind_is_another_thing(tmp_path):
    prepared(tmp_path, "thing", KEY, build)
    for kind, key in (("other", KEY), ("thing", {**KEY, "version": 2})):
        built = []
        prepared(tmp_path, kind, key, lambda writer: built.append(1))  # noqa: B023
        assert built


@given(st.lists(st.lists(st.integers(-(2**31), 2**31 - 1)), min_size=1))
def test_pieces_are_one_array(tmp_path_factory, pieces):
    def grow(writer):
        for piece in pieces:
            writer.append("x", np.array(piece, dtype=np.int64))

    expected = [number for piece in pieces for number in piece]
    for folder in (None, tmp_path_factory.mktemp("cache")):
        assert prepared(folder, "x", {}, grow).arrays["x"].tolist() == expected


def test_pieces_of_another_type_are_refused(tmp_path):
    def mixed(writer):
        writer.append("x", np.zeros(1, dtype=np.int32))
        writer.append("x", np.zeros(1))

    with pytest.raises(ValueError, match="float64 after one of int32"):
        prepared(tmp_path, "x", {}, mixed)
    assert not is_prepared(tmp_path, "x", {})


def test_mapped_arrays_are_read_only_and_behave_like_others(tmp_path):
    long = prepared(tmp_path, "thing", KEY, build).arrays["long"]
    with pytest.raises(ValueError, match="read-only"):
        long[0] = 1
    assert isinstance(long.sum(), np.integer)
    assert type(long + 1) is np.ndarray
    release(long)
    assert long.tolist() == list(range(10))


def test_arrays_pickle_as_paths_and_their_parts_as_numbers(tmp_path):
    def large(writer):
        writer.append("x", np.arange(100_000))

    found = prepared(tmp_path, "large", KEY, large)
    sent = pickle.dumps(found)
    assert len(sent) < 1000
    again = pickle.loads(sent).arrays["x"]
    assert np.array_equal(again, np.arange(100_000))
    assert not again.flags.writeable
    part = pickle.loads(pickle.dumps(found.arrays["x"][5:8]))
    assert part.tolist() == [5, 6, 7]


def place_of(folder: Path) -> Path:
    (place,) = [path for path in folder.iterdir() if path.is_dir()]
    return place


def cut_meta(place):
    (place / "meta.json").write_text((place / "meta.json").read_text()[:-5])


def no_meta(place):
    (place / "meta.json").unlink()


def no_array(place):
    (place / "long.npy").unlink()


def cut_array(place):
    os.truncate(place / "long.npy", 140)


def longer_array(place):
    with (place / "table.npy").open("ab") as file:
        file.write(b"\0")


def foreign(place):
    meta = json.loads((place / "meta.json").read_text())
    (place / "meta.json").write_text(json.dumps({**meta, "key": {"file": "others"}}))


def list_as_meta(place):
    (place / "meta.json").write_text("[]")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut_meta, "cannot be read"),
        (no_meta, "meta.json is missing"),
        (no_array, "long.npy is missing"),
        (cut_array, "long.npy has 140 bytes instead of 168"),
        (longer_array, "table.npy has 177 bytes instead of 176"),
        (foreign, "meta.json was changed"),
        (list_as_meta, "cannot be read"),
    ],
)
def test_a_damaged_or_other_artifact_is_built_again(tmp_path, damage, said):
    prepared(tmp_path, "thing", KEY, build)
    damage(place_of(tmp_path))
    lines = []
    check(prepared(tmp_path, "thing", KEY, build, lines.append))
    assert len(lines) == 1
    assert said in lines[0]
    check(prepared(tmp_path, "thing", KEY, never))
    assert place_of(tmp_path).name.startswith("thing-")


def test_a_failing_builder_leaves_nothing_behind(tmp_path):
    def fail(writer):
        build(writer)
        raise KISError("bad facts")

    with pytest.raises(KISError, match="bad facts"):
        prepared(tmp_path, "thing", KEY, fail)
    assert not any(path.is_dir() for path in tmp_path.iterdir())


def test_an_unusable_cache_folder_is_refused_with_advice(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KISError, match=r"cache folder .*file: .*KIS_CACHE"):
        prepared(tmp_path / "file", "thing", KEY, build)


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kis_plugin.storage.artifact_cache.flush", full)
    with pytest.raises(KISError, match=r"No space left on device, expected .*free space"):
        prepared(tmp_path, "thing", KEY, build)
    assert not any(path.is_dir() for path in tmp_path.iterdir())


def test_errors_of_the_builder_are_not_blamed_on_the_cache(tmp_path):
    def unreadable(writer):
        raise OSError("the knowledge is gone")

    with pytest.raises(OSError, match="knowledge"):
        prepared(tmp_path, "thing", KEY, unreadable)


def test_the_cache_folder_is_configured_or_the_default(monkeypatch, tmp_path):
    monkeypatch.setenv("KIS_CACHE", str(tmp_path))
    assert cache_folder(None) == tmp_path
    assert cache_folder(Path("mine")) == Path("mine")
    monkeypatch.delenv("KIS_CACHE")
    assert cache_folder(None) == Path.home() / ".cache" / "kis"


SLOW_BUILDER = """
import sys, time
from pathlib import Path
import numpy as np
from kis_plugin.storage.artifact_cache import prepared

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])

def build(writer):
    writer.append("x", np.arange(5))
    with (folder / "builders").open("a") as file:
        file.write("one\\n")
    time.sleep(seconds)

print(prepared(folder, "slow", {}, build).arrays["x"].tolist())
"""


def builder(folder, seconds):
    command = [sys.executable, "-c", SLOW_BUILDER, str(folder), str(seconds)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )


def wait_for(path):
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"no {path}")


def test_one_process_builds_while_the_other_waits(tmp_path):
    first = builder(tmp_path, 2)
    wait_for(tmp_path / "builders")
    other = builder(tmp_path, 0)
    for process in (first, other):
        out, _ = process.communicate(timeout=60)
        assert out == "[0, 1, 2, 3, 4]\n"
    assert (tmp_path / "builders").read_text() == "one\n"


def test_waiting_for_a_builder_is_announced(tmp_path):
    process = builder(tmp_path, 1)
    wait_for(tmp_path / "builders")
    lines = []
    prepared(tmp_path, "slow", {}, never, lines.append)
    assert len(lines) == 1
    assert "another process prepares slow-" in lines[0]
    process.communicate(timeout=60)


def test_a_builder_that_is_killed_leaves_nothing_in_the_way(tmp_path):
    process = builder(tmp_path, 600)
    wait_for(tmp_path / "builders")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".partial")]
    found = prepared(tmp_path, "slow", {}, lambda writer: writer.append("x", np.arange(3)), notify=[].append)
    assert found.arrays["x"].tolist() == [0, 1, 2]
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(".partial")]


NO_ROOM = """
import resource, sys
from pathlib import Path
import numpy as np
from kis_plugin.storage.artifact_cache import prepared
from kis_plugin.errors import KISError

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    prepared(Path(sys.argv[1]), "large", {}, lambda writer: writer.append("x", np.arange(100_000)))
except KISError as error:
    print(error)
"""


def test_a_file_size_limit_leaves_nothing_behind(tmp_path):
    command = [sys.executable, "-c", NO_ROOM, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(f"cache folder {tmp_path}"), done.stderr
    assert "File too large, expected a folder on a local disk" in done.stdout
    assert not any(path.is_dir() for path in tmp_path.iterdir())


def test_folders_are_for_their_owner_alone(tmp_path):
    folder = tmp_path / "new" / "cache"
    prepared(folder, "thing", KEY, build)
    for made in (folder.parent, folder, place_of(folder)):
        assert made.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("which", ["cache", "artifact"])
def test_a_folder_that_everyone_may_write_to_is_refused(tmp_path, which):
    folder = tmp_path / "cache"
    prepared(folder, "thing", KEY, build)
    (folder if which == "cache" else place_of(folder)).chmod(0o777)
    with pytest.raises(KISError, match=r"every user may write to, expected .* Run chmod -R go-w"):
        prepared(folder, "thing", KEY, never)


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    prepared(tmp_path, "thing", KEY, build)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    if tmp_path.stat().st_uid == 0:
        os.chown(tmp_path, 12345, -1)
    with pytest.raises(KISError, match=r"a folder of another user \(uid \d+\).*sudo chown -R"):
        prepared(tmp_path, "thing", KEY, never)


def test_a_group_may_share_a_cache(tmp_path):
    prepared(tmp_path, "thing", KEY, build)
    tmp_path.chmod(0o770)
    check(prepared(tmp_path, "thing", KEY, never))


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("name", ["long.npy", "table.npy", "meta.json"])
def test_any_flipped_bit_of_a_small_artifact_is_noticed(tmp_path, name):
    prepared(tmp_path, "thing", KEY, build)
    path = place_of(tmp_path) / name
    good = path.read_bytes()
    for offset in range(0, len(good), 7):
        flip(path, offset)
        lines = []
        check(prepared(tmp_path, "thing", KEY, build, lines.append))
        assert len(lines) == 1
        check(prepared(tmp_path, "thing", KEY, build, lines.append))


def test_changed_bytes_of_a_large_artifact_are_found(tmp_path):
    def large(writer):
        writer.append("x", np.zeros(3_000_000, dtype=np.int64))

    prepared(tmp_path, "large", KEY, large)
    path = place_of(tmp_path) / "x.npy"
    size = path.stat().st_size
    assert list(damaged_artifacts(tmp_path)) == []
    flip(path, 100_000)  # between two samples
    prepared(tmp_path, "large", KEY, never)
    ((place, reason),) = damaged_artifacts(tmp_path)
    assert (place, reason) == (place_of(tmp_path), "x.npy was changed after it was written")
    flip(path, size - 10)  # in the last sample
    lines = []
    prepared(tmp_path, "large", KEY, large, lines.append)
    assert "was changed after it was written" in lines[0]
    assert list(damaged_artifacts(tmp_path)) == []


def test_opening_a_large_artifact_reads_a_bounded_part(tmp_path):
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.truncate(1 << 33)  # 8 GiB of nothing
    start = time.perf_counter()
    sampled_digest(path)
    assert time.perf_counter() - start < 2


def test_a_read_only_cache_is_used(tmp_path, monkeypatch):
    prepared(tmp_path, "thing", KEY, build)

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr("kis_plugin.storage.artifact_cache.FileLock", refuse)
    check(prepared(tmp_path, "thing", KEY, never))
