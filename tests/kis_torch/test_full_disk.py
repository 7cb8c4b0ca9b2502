"""A disk that is full in the middle of a run: named, nothing whole is lost, and the resumed run is exact."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("resource")

import resource

from kis_plugin.errors import KISError
from kis_plugin.run.log import read_run_log
from tests.world.data import BareRows
from tests.world.disks import fill, small_disk
from tests.world.facts import kis
from tests.world.loops import train
from tests.world.runs import shown
from tests.world.tokenizers import make_tokenizer

PROBED = {"every": "4 steps", "probes": {"facts": 4, "kinds": ["held_out"]}}
KEYS = {"steps": 24}


@contextmanager
def limited(log: Path, more: int) -> Iterator[None]:
    """Let no file grow beyond ``more`` bytes above the log's size: the line that reaches it is written in part."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def filled(log: Path, more: int) -> Iterator[None]:
    """Fill the disk of the log: it can grow to the end of its last page."""
    filler = fill(log.parent.parent)
    try:
        yield
    finally:
        filler.unlink()


@pytest.fixture
def runs_on_a_small_disk(tmp_path) -> Iterator[Path]:
    with small_disk(tmp_path / "runs", "512k") as folder:
        yield folder


def interrupted(tmp_path: Path, full: Callable[[Path, int], object], more: int, said: str) -> None:
    config, tokenizer, whole, seen = kis(tmp_path, frequency=5, retention=PROBED), make_tokenizer(), [], []
    rows = BareRows(80, tokenizer)
    train(config, rows, whole, **KEYS)
    (unbroken,) = (tmp_path / "runs").glob("*/kis.jsonl")
    _, state = train(config, rows, seen, stop=10, **KEYS)
    (log,) = set((tmp_path / "runs").glob("*/kis.jsonl")) - {unbroken}
    before = log.read_bytes()
    with full(log, more), pytest.raises(KISError, match=rf"{log}: found {said}, expected a file that can be written"):
        train(config, rows, [], resumed=state, **KEYS)
    assert log.read_bytes().startswith(before)
    train(config, rows, seen, resumed=state, **KEYS)
    assert [batch.tolist() for batch in seen] == [batch.tolist() for batch in whole]
    assert set(shown(seen, config, tokenizer).values()) == {5}
    found = read_run_log(log)
    assert found.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
    assert found.warnings == ()  # the torn line was taken away
    assert all(isinstance(json.loads(line), dict) for line in log.read_text().splitlines())
    last = {(one.step, one.probe): one.accuracy for one in found.retention}
    assert last == {(one.step, one.probe): one.accuracy for one in read_run_log(unbroken).retention}


@pytest.mark.parametrize("more", [0, 2000])
def test_a_log_that_can_grow_no_more_ends_the_run_by_name_and_it_resumes_exactly(tmp_path, more):
    interrupted(tmp_path, limited, more, "file too large")


def test_a_full_disk_ends_the_run_by_name_and_it_resumes_exactly(tmp_path, runs_on_a_small_disk):
    interrupted(tmp_path, filled, 0, "no space left on device")
