"""The guard stops infusing on two processes: from one row of the run on, and what was shown is what is counted."""

from __future__ import annotations

import numpy as np
import pytest

from kis_plugin.run.log import read_run_log
from tests.kis_hf.ddp_run import train
from tests.world.facts import kis, write_facts
from tests.world.runs import shown
from tests.world.tokenizers import make_tokenizer

BATCH = 4


def in_order(ranks):
    """The rows of a run as it numbers them: the ranks' batches in turn."""
    parts = [rank.reshape(-1, BATCH, rank.shape[1]) for rank in ranks]  # (batches, B, T) of each
    return np.stack(parts, axis=1).reshape(-1, ranks[0].shape[1])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_two_ranks_stop_infusing_at_the_same_row(tmp_path, workers):
    write_facts(tmp_path)
    # Signs that the base rows never hold: the better the model knows these, the less it expects them.
    (tmp_path / "signs.txt").write_text("#$%&@! " * 20)
    guard = {"action": "stop_infusing", "patience": 1, "max_loss_rise": 0.01}
    probed = {"every": 0.25, "general_text": str(tmp_path / "signs.txt")}
    config, tokenizer = kis(tmp_path, frequency=6), make_tokenizer()
    keys = {"rows": 160, "learning_rate": 1e-2}
    whole = train(tmp_path, "whole", workers, retention={**probed, "guard": {"action": "none"}}, **keys)
    stopped = train(tmp_path, "stopped", workers, retention={**probed, "guard": guard}, **keys)
    logs = [read_run_log(path) for path in (tmp_path / "runs").glob("*/kis.jsonl")]
    (log,) = [log for log in logs if log.guard]

    (acted,) = [record for record in log.guard if record.action]
    assert (acted.action, acted.verdict) == ("stop_infusing", "loss")
    (throttled,) = log.end.extra["throttled"]
    assert (throttled["step"], throttled["keep"]) == (acted.step, 0.0)

    as_planned, found = in_order(whole), in_order(stopped)
    row = throttled["row"]
    assert 0 < row < len(found) == len(as_planned) == 320
    np.testing.assert_array_equal(found[:row], as_planned[:row])
    for rank in (0, 1):  # each would have been infused of facts after that row, and is infused of none
        mine = np.arange(len(found)) // BATCH % 2 == rank
        after = mine & (np.arange(len(found)) >= row)
        assert sum(shown([as_planned[after]], config, tokenizer).values()) > 0
        assert sum(shown([found[after]], config, tokenizer).values()) == 0

    counts = np.array(list(shown(stopped, config, tokenizer).values()))
    assert 0 < counts.sum() < 6 * len(counts)
    achieved = {"min": counts.min(), "max": counts.max(), "mean": pytest.approx(counts.mean())}
    assert log.end.achieved_frequency == log.end.extra["throttled_frequency"] == achieved
    assert log.end.extra["miscounted"] == 0
    assert log.end.status == "completed"
