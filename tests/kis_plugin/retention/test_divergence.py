"""A model whose logits or losses are NaN or infinite: never an accuracy of 0, and a run that ends as diverged."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from kis_plugin.plugins.session import Session
from kis_plugin.run.log import read_run_log
from tests.world.facts import people, write_facts
from tests.world.plain import Indifferent, make_run, train


class Breaking(Indifferent):
    """Has ``value`` as one logit of the last row of every pass."""

    value = 0.0

    def logits(self, input_ids):
        logits = super().logits(input_ids)
        logits[-1, :, 3] = self.value
        return logits


@pytest.fixture
def started(tmp_path):
    def start(**retention):
        write_facts(tmp_path, people(24))
        config = {"retention": {"every": 0.5, "control": 0, "probes": {"facts": 8}, **retention}}
        run = replace(make_run(tmp_path, {"frequency": 5}, config=config), model=Breaking())
        said = []
        session = Session(replace(run, notify=said.append))
        session.step_end(0)
        return session, said

    return start


def finished(session):
    train(session)
    session.end(session.run.steps)
    return read_run_log(session.run.folder / "kis.jsonl")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_broken_logit_marks_the_run_as_diverged(started, value):
    session, said = started()
    session.run.model.value = value
    log = finished(session)
    assert log.end.status == "diverged"
    assert log.end.step == session.run.steps
    assert log.end.extra["diverged"] == "logits are NaN or infinite at step 50"
    assert {record.step for record in log.retention} == {0}  # no accuracy of a broken model
    assert [record.verdict for record in log.guard] == ["diverged", "diverged"]
    assert sum("the model has diverged" in line for line in said) >= 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_of_the_host_marks_the_run_as_diverged(started, value):
    session, _ = started()
    session.loss(10, "eval", 3.0)
    session.loss(20, "eval", value)
    log = finished(session)
    assert (log.end.status, [loss.loss for loss in log.loss]) == ("diverged", [3.0])
    assert log.end.extra["diverged"].startswith(f"loss on eval is {value}")


def test_general_text_marks_the_run_as_diverged(started, tmp_path):
    (tmp_path / "text.txt").write_text("Some general text of a few words.")
    session, _ = started(general_text=str(tmp_path / "text.txt"), probes={"facts": 8, "kinds": ["held_out"]})
    session.run.model.value = float("nan")
    log = finished(session)
    assert log.end.status == "diverged"
    assert all(np.isfinite(loss.loss) for loss in log.loss)


def test_a_diverged_run_is_checked_for_its_counts_too(started):
    session, _ = started()
    session.run.model.value = float("nan")
    whole, _ = started()
    assert set(finished(session).end.extra) - {"diverged", "guard"} == set(finished(whole).end.extra) - {"guard"}


def test_a_sound_run_is_completed(started):
    session, said = started()
    assert finished(session).end.status == "completed"
    assert not any("diverged" in line for line in said)
