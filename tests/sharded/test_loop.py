"""Plain loops over models split between processes: what one process trains on and measures, exactly."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kis_plugin.run.log import read_run_log
from tests.world.facts import kis, write_facts
from tests.world.processes import made_once, run_ranks
from tests.world.runs import controls_shown, margins, shown
from tests.world.tokenizers import make_tokenizer

HERE = Path(__file__).parent
STOP = 7
BEFORE, AFTER = {"tag": "before", "stop": STOP}, {"tag": "after", "resume": True}
# One of two ranks has no memory for more than four rows of a probe, inside a layer.
FULL = {"full_rank": 1}
STARTS: dict[str, tuple[int, list[dict[str, Any]]]] = {  # ranks, and what they train one after the other
    "alone": (1, [{"in": "alone", "strategy": "none", "tag": "all"}, {"in": "1 to 2", "strategy": "none", **BEFORE}]),
    "two": (2, [
        {"in": "ddp", "strategy": "ddp", "tag": "all"},
        {"in": "fsdp1", "strategy": "fsdp1", "tag": "all", **FULL},
        {"in": "fsdp2", "strategy": "fsdp2", "tag": "all", **FULL},
        {"in": "2 to 1", "strategy": "fsdp2", **BEFORE},
        {"in": "1 to 2", "strategy": "fsdp2", **AFTER},
    ]),
    "four": (4, [{"in": "mesh", "strategy": "mesh", "tag": "all"}]),
    "alone again": (1, [{"in": "2 to 1", "strategy": "none", **AFTER}]),
}  # fmt: skip


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Returns a function that makes sure that all runs of some starts are there, and gives the folder of all runs."""

    def start(*names: str) -> Path:
        folder = made_once(tmp_path_factory, "loops", lambda folder: None)
        for name in names:
            made_once(tmp_path_factory, f"loops-{name}", lambda _, name=name: train(folder, *STARTS[name]))
        return folder

    return start


def train(folder: Path, ranks: int, specs: list[dict[str, Any]]) -> None:
    for spec in specs:
        (folder / spec["in"]).mkdir(exist_ok=True)
        write_facts(folder / spec["in"])
    run_ranks(HERE / "loop_rank.py", str(folder), json.dumps(specs), ranks=ranks, timeout=600)


def rows_of(folder: Path, tag: str, ranks: int) -> list[np.ndarray]:
    """The rows that the model of each rank was given."""
    return [np.load(folder / f"{tag}-{rank}.npy") for rank in range(ranks)]


def report_of(folder: Path, tag: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{tag}.json").read_text())
    return found


def log_of(folder: Path) -> Any:
    (path,) = (folder / "runs").glob("*/kis.jsonl")
    return read_run_log(path)


def multiset(rows: list[np.ndarray]) -> Counter:
    return Counter(row.tobytes() for rank in rows for row in rank)


def assert_exact(folder: Path, rows: list[np.ndarray]) -> None:
    config, tokenizer = kis(folder, frequency=6), make_tokenizer()
    assert set(shown(rows, config, tokenizer).values()) == {6}
    assert controls_shown(rows, config, tokenizer) == 0
    assert log_of(folder).end.achieved_frequency == {"min": 6, "max": 6, "mean": 6}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp1", "fsdp2", "mesh"])
def test_a_split_model_trains_as_one_process_does(started, strategy):
    folder, ranks = started("alone", "four" if strategy == "mesh" else "two"), 4 if strategy == "mesh" else 2
    rows, report = rows_of(folder / strategy, "all", ranks), report_of(folder / strategy, "all")
    alone_report, alone_log = report_of(folder / "alone", "all"), log_of(folder / "alone")
    if strategy == "mesh":  # ranks 0 and 1 share batches, and so do 2 and 3
        np.testing.assert_array_equal(rows[0], rows[1])
        np.testing.assert_array_equal(rows[2], rows[3])
        rows = rows[::2]
    # All ranks halve the passes that one has no memory for, and none waits for ever.
    assert (report["failures"] > 0) == strategy.startswith("fsdp")
    if strategy in ("fsdp2", "mesh"):
        assert report["types"] == ["DTensor"]
        assert report["local"] < report["whole"]
    if strategy == "fsdp1":
        assert "FullyShardedDataParallel" in report["modules"]
    assert_exact(folder / strategy, rows)
    assert multiset(rows) == multiset(rows_of(folder / "alone", "all", 1))
    np.testing.assert_allclose(report["losses"], alone_report["losses"], atol=1e-5)
    log = log_of(folder / strategy)
    assert (log.run.params, log.run.params_non_embedding) == (alone_log.run.params, alone_log.run.params_non_embedding)
    np.testing.assert_allclose(margins(log), margins(alone_log), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_split_run_goes_on_on_other_ranks(started, before, after):
    """``fully_shard`` on two ranks and a whole model on one, by checkpoints of ``torch.distributed.checkpoint``."""
    folder = started("alone", "two", "alone again")
    changed = folder / f"{before} to {after}"
    rows = [*rows_of(changed, "before", before), *rows_of(changed, "after", after)]
    assert (report_of(changed, "after" if after == 2 else "before")["types"]) == ["DTensor"]
    assert_exact(changed, rows)
    assert multiset(rows) == multiset(rows_of(folder / "alone", "all", 1))
    whole = report_of(folder / "alone", "all")["losses"]
    np.testing.assert_allclose(report_of(changed, "before")["losses"], whole[:STOP], atol=1e-5)
    np.testing.assert_allclose(report_of(changed, "after")["losses"], whole[STOP:], atol=1e-5)
    np.testing.assert_allclose(margins(log_of(changed)), margins(log_of(folder / "alone")), atol=1e-5)
