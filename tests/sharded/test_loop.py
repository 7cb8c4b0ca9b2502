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
from tests.world.processes import run_ranks
from tests.world.runs import controls_shown, margins, shown
from tests.world.tokenizers import make_tokenizer

HERE = Path(__file__).parent


def train(folder: Path, strategy: str, ranks: int) -> tuple[list[np.ndarray], dict[str, Any], Any]:
    """Train in processes of their own; return the rows of each rank's model, what rank 0 reports, and the run log."""
    write_facts(folder)
    run_ranks(HERE / "loop_rank.py", str(folder), json.dumps({"strategy": strategy}), ranks=ranks)
    rows = [np.load(folder / f"all-{rank}.npy") for rank in range(ranks)]
    (path,) = (folder / "runs").glob("*/kis.jsonl")
    return rows, json.loads((folder / "all.json").read_text()), read_run_log(path)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return train(tmp_path_factory.mktemp("alone"), "none", 1)


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "ranks"), [("ddp", 2), ("fsdp1", 2), ("fsdp2", 2), ("mesh", 4)])
def test_a_split_model_trains_as_one_process_does(tmp_path, alone, strategy, ranks):
    rows, report, log = train(tmp_path, strategy, ranks)
    alone_rows, alone_report, alone_log = alone
    if strategy == "mesh":  # ranks 0 and 1 share batches, and so do 2 and 3
        np.testing.assert_array_equal(rows[0], rows[1])
        np.testing.assert_array_equal(rows[2], rows[3])
        rows = rows[::2]
    if strategy in ("fsdp2", "mesh"):
        assert report["types"] == ["DTensor"]
        assert report["local"] < report["whole"]
    if strategy == "fsdp1":
        assert "FullyShardedDataParallel" in report["modules"]
    config, tokenizer = kis(tmp_path, frequency=6), make_tokenizer()
    assert set(shown(rows, config, tokenizer).values()) == {6}
    assert controls_shown(rows, config, tokenizer) == 0
    assert Counter(row.tobytes() for rank in rows for row in rank) == Counter(row.tobytes() for row in alone_rows[0])
    np.testing.assert_allclose(report["losses"], alone_report["losses"], atol=1e-5)
    assert log.end.achieved_frequency == {"min": 6, "max": 6, "mean": 6}
    assert (log.run.params, log.run.params_non_embedding) == (alone_log.run.params, alone_log.run.params_non_embedding)
    np.testing.assert_allclose(margins(log), margins(alone_log), atol=1e-5)
