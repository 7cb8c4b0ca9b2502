"""Delivery: a run whose model does not get the infused rows as planned stops at the first of them."""

from __future__ import annotations

import numpy as np
import pytest

from kis_plugin.errors import KISError
from kis_plugin.plugins.session import Session
from kis_plugin.run.ranks import Ranks
from tests.world.facts import people, write_facts
from tests.world.plain import Letters, base_row, make_run

pytest.importorskip("torch")
ROWS = 400


@pytest.fixture
def here(tmp_path):
    write_facts(tmp_path, people(16))
    return tmp_path


def as_made(ids):
    return ids


def masked(ids):
    """As a collator for masked language models makes them: every third token is another."""
    return np.where(np.arange(ids.shape[1]) % 3 == 1, 3, ids)


def nothing(ids):
    """As a model sees a batch that gets embeddings."""
    return np.zeros_like(ids)


def batches(session, ahead=0):
    """The run's batches of four rows with the step that each ends; the loader is some batches ahead."""
    last = session.run.rows // 4
    for step in range(last + ahead):
        if step < last:
            session.rows_drawn(range(step * 4, step * 4 + 4))
        if step >= ahead:
            made = []
            for row in range((step - ahead) * 4, (step - ahead) * 4 + 4):
                base = base_row(row)
                placed = session.row_source.place(row, base)
                made.append(base if placed is None else placed.joined(placed.tokens, base))
            yield step - ahead + 1, np.stack(made)


def train(session, change=as_made, labels=None, ahead=0, seen=1):
    for step, ids in batches(session, ahead):
        for _ in range(seen):
            session.batch(change(ids), None if labels is None else labels(ids))
        session.step_end(step)


def started(here, placement="rows", ranks=None, **infusion):
    keys = {} if ranks is None else {"ranks": ranks}
    return Session(make_run(here, {"frequency": 4, "placement": placement, **infusion}, rows=ROWS, **keys))


@pytest.mark.parametrize("placement", ["rows", "inline"])
@pytest.mark.parametrize("ahead", [0, 7])
@pytest.mark.parametrize("change", [masked, nothing])
def test_rows_that_do_not_arrive_stop_the_run(here, placement, ahead, change):
    session = started(here, placement)
    with pytest.raises(KISError, match=r"infused row \d+ of the run: found \d of the first \d infused rows not in"):
        train(session, change, ahead=ahead)
    assert session._step < 20 + 3 * ahead


def test_a_model_that_is_never_given_ids_stops_the_run(here):
    """As one that is trained on embeddings, so that no batch is ever reported."""
    session = started(here)
    steps = [step for step, _ in batches(session)]
    with pytest.raises(KISError, match="not in what the model was given, but no batch"):
        list(map(session.step_end, steps))
    assert session._step < 20


def test_the_error_shows_what_was_planned_and_what_came(here):
    with pytest.raises(KISError) as stopped:
        train(started(here), masked)
    (problem,) = stopped.value.problems
    assert "was born is Town" in problem.expected or "Person" in problem.expected
    assert "\\x03" in problem.found
    assert "collator" in problem.hint


@pytest.mark.parametrize("placement", ["rows", "inline"])
@pytest.mark.parametrize(("ahead", "seen"), [(0, 1), (7, 1), (0, 2), (30, 1)])
def test_rows_that_arrive_never_stop_a_run(here, placement, ahead, seen):
    session = started(here, placement)
    train(session, ahead=ahead, seen=seen)  # a batch that the model is given twice arrives too
    assert session.infuser._delivery.done
    assert session.exposures().tolist() == [4] * 16


def test_nothing_to_infuse_is_delivered(here):
    session = started(here, frequency=0)
    train(session, nothing)
    assert session.infuser._delivery.done


def same(ids):
    return ids.copy()


def shifted(ids):
    return np.concatenate([ids[:, 1:], np.full((len(ids), 1), -100)], axis=1)


def without_eos(ids):
    return np.where(ids == Letters.eos, -100, ids)


@pytest.mark.parametrize("labels", [same, shifted, without_eos])
@pytest.mark.parametrize("placement", ["rows", "inline"])
def test_labels_of_every_usual_kind_are_right(here, labels, placement):
    session = started(here, placement)
    train(session, labels=labels)
    assert session.infuser._delivery.done


def copied_into_shifted(ids):
    """Labels of base rows are shifted, those of infused rows are not: a model would learn to copy."""
    infused = np.array(["Person" in Letters().decode(row.tolist()) for row in ids])
    return np.where(infused[:, None], ids, shifted(ids))


def hidden(ids):
    """Labels of infused rows are hidden."""
    infused = np.array(["Person" in Letters().decode(row.tolist()) for row in ids])
    return np.where(infused[:, None], -100, ids)


@pytest.mark.parametrize("labels", [copied_into_shifted, hidden])
def test_wrong_labels_stop_the_run(here, labels):
    session = started(here)
    with pytest.raises(KISError, match=r"labels of infused row \d+ of the run: found \[.*\] from token"):
        train(session, labels=labels)
    assert session._step < 20


def test_loss_on_objects_only_wants_only_these_labels(here):
    session = started(here, loss="object")

    def of_objects(ids):
        labels = ids.copy()
        for row, text in zip(labels, (Letters().decode(row.tolist()) for row in ids), strict=True):
            end = text.rfind("\n") + 1 if "Person" in text else 0
            for place in range(end):
                if not any(text.startswith(f"Town{n}", place - back) for n in range(8) for back in range(5)):
                    row[place] = -100
        return labels

    train(session, labels=of_objects)
    assert session.infuser._delivery.done


def test_a_rank_that_gets_no_row_stops_all(here):
    """The other rank reports two rows that did not come."""
    session = started(here, ranks=Ranks(0, 2, lambda array: array + (np.array([0, 4, 0]) if len(array) == 3 else 0)))
    for _, ids in batches(session):
        session.batch(ids)
        break
    with pytest.raises(KISError, match="infused rows: found 4 of the first"):
        session.step_end(1)
