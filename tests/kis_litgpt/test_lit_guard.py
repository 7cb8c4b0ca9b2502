"""LitGPT's own training ends where the guard finds by itself that general text is forgotten; counts stay exact."""

from __future__ import annotations

import numpy as np
import pytest

from kis_plugin.errors import KISError
from tests.world.litgpt import Rows, run, shown, write_kis
from tests.world.logs import log_of

FAST = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.02}}


def write_guarded(folder):
    """Text whose signs the base rows never hold: the better the model knows these, the less it expects them."""
    guard = {"action": "stop_training", "patience": 1, "max_loss_rise": 0.01}
    retention = {"control": 4, "probes": {"facts": 16}, "general_text": "signs.txt", "guard": guard}
    kis = write_kis(folder, retention=retention)
    (folder / "signs.txt").write_text("#$%&@! " * 20)
    return kis


@pytest.mark.parametrize("accumulation", [1, 2])
def test_training_ends_after_the_step_at_which_the_guard_acts(tmp_path, seen, accumulation):
    kis = write_guarded(tmp_path)
    run(tmp_path, Rows(), kis, interval=5, accumulation=accumulation, optimizer=FAST)
    log = log_of(tmp_path)
    (acted,) = [record for record in log.guard if record.action]
    assert (acted.action, acted.verdict) == ("stop_training", "loss")
    assert 0 < acted.step < 20
    assert len(seen) == acted.step * accumulation
    assert (log.end.status, log.end.step) == ("stopped", acted.step)
    assert log.end.extra["guard"] == [{"action": "stop_training", "step": acted.step, "verdict": "loss"}]
    losses = {record.step: record.loss for record in log.loss if record.split == "general"}
    assert losses[acted.step] > min(losses.values()) + 0.01
    found = np.array(list(shown(tmp_path, seen, kis).values()))
    assert 0 < found.sum() < 5 * len(found)
    assert log.end.achieved_frequency == {"min": found.min(), "max": found.max(), "mean": pytest.approx(found.mean())}


def test_a_run_that_the_guard_stopped_is_not_resumed_by_itself(tmp_path, seen):
    kis = write_guarded(tmp_path)
    run(tmp_path, Rows(), kis, interval=5, optimizer=FAST)
    shown_then = len(seen)
    with pytest.raises(KISError, match=r"a run that retention\.guard stopped at step"):
        run(tmp_path, Rows(), kis, interval=5, optimizer=FAST, resume="auto")
    assert len(seen) == shown_then
