"""The Trainer with models split between processes: what one process trains on and measures, exactly."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kis_plugin.run.log import read_run_log
from tests.world.facts import kis, write_facts
from tests.world.models import make_model
from tests.world.processes import run_ranks
from tests.world.runs import controls_shown, margins, shown
from tests.world.tokenizers import make_tokenizer

HERE = Path(__file__).parent
DEEPSPEED = pytest.mark.deepspeed
STRATEGIES = [
    pytest.param("ddp", 2, id="ddp"),
    pytest.param("fsdp1", 2, id="fsdp1"),
    pytest.param("fsdp2", 2, id="fsdp2"),
    pytest.param("zero2", 2, id="zero2", marks=DEEPSPEED),
    pytest.param("zero3", 2, id="zero3", marks=DEEPSPEED),
    pytest.param("tp", 2, id="tp"),
    pytest.param("dp-tp", 4, id="dp-tp"),
]
RESUMED = ("fsdp2", "zero2", "zero3")  # the others save no optimizer on a CPU, or at all
SHARED = {"tp": 2, "dp-tp": 2}  # processes that train on the same rows


def train(folder: Path, strategy: str, ranks: int, tag: str = "all", **spec: Any) -> tuple[list[np.ndarray], dict]:
    """Train in processes of their own; return the rows that each data rank's model was given, and what rank 0 says."""
    if strategy.endswith("tp"):
        make_model(hidden=32, heads=2).save_pretrained(folder / "model")
    data_ranks = ranks // SHARED.get(strategy, 1)
    spec = {"strategy": strategy, "tag": tag, "batch": 8 // data_ranks, **spec}
    run_ranks(HERE / "trainer_rank.py", str(folder), json.dumps(spec), ranks=ranks)
    rows = [np.load(folder / f"{tag}-{rank}.npy") for rank in range(ranks)]
    for rank in range(ranks):  # those that share a batch are given the same one
        first = rank - rank % SHARED.get(strategy, 1)
        np.testing.assert_array_equal(rows[rank], rows[first])
    return rows[:: SHARED.get(strategy, 1)], json.loads((folder / f"{tag}.json").read_text())


def log_of(folder: Path) -> Any:
    (path,) = (folder / "runs").glob("*/kis.jsonl")
    return read_run_log(path)


def multiset(rows: list[np.ndarray]) -> Counter:
    return Counter(row.tobytes() for rank in rows for row in rank.astype(np.int64))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    write_facts(folder)
    rows, report = train(folder, "ddp", 1)
    return rows, report, log_of(folder)


def assert_split(strategy: str, split: dict) -> None:
    """The model really is split: a host that falls back to DDP would pass every other assertion."""
    if strategy == "fsdp1":
        assert "FullyShardedDataParallel" in split["modules"]
    if strategy in ("fsdp2", "tp", "dp-tp"):
        assert "DTensor" in split["types"]
    if strategy in ("fsdp2", "tp", "dp-tp", "zero3"):
        assert split["local"] < split["whole"]
    if strategy.startswith("zero"):
        assert "DeepSpeedEngine" in split["modules"]
    if strategy == "ddp":
        assert split["local"] == split["whole"]


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "ranks"), STRATEGIES)
def test_a_split_model_trains_as_one_process_does(tmp_path, alone, strategy, ranks):
    write_facts(tmp_path)
    config, tokenizer = kis(tmp_path, frequency=6), make_tokenizer()
    rows, report = train(tmp_path, strategy, ranks)
    assert_split(strategy, report["split"])
    assert set(shown(rows, config, tokenizer).values()) == {6}
    assert controls_shown(rows, config, tokenizer) == 0
    alone_rows, alone_report, alone_log = alone
    assert multiset(rows) == multiset(alone_rows)
    np.testing.assert_allclose(report["losses"], alone_report["losses"], atol=1e-5)
    log = log_of(tmp_path)
    assert log.end.achieved_frequency == {"min": 6, "max": 6, "mean": 6}
    assert (log.run.params, log.run.params_non_embedding) == (alone_log.run.params, alone_log.run.params_non_embedding)
    found = [(record.step, record.probe, record.accuracy) for record in log.retention]
    assert found == [(record.step, record.probe, record.accuracy) for record in alone_log.retention]
    np.testing.assert_allclose(margins(log), margins(alone_log), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "ranks"), [entry for entry in STRATEGIES if entry.id in RESUMED])
def test_a_split_run_that_stops_goes_on_exactly(tmp_path, alone, strategy, ranks):
    write_facts(tmp_path)
    config, tokenizer = kis(tmp_path, frequency=6), make_tokenizer()
    before, _ = train(tmp_path, strategy, ranks, tag="before", stop=7)
    after, report = train(tmp_path, strategy, ranks, tag="after", resume=True)
    assert_split(strategy, report["split"])
    assert set(shown([*before, *after], config, tokenizer).values()) == {6}
    assert multiset([*before, *after]) == multiset(alone[0])
    np.testing.assert_allclose(report["losses"][-13:], alone[1]["losses"][-13:], atol=1e-5)
    assert log_of(tmp_path).end.achieved_frequency == {"min": 6, "max": 6, "mean": 6}
