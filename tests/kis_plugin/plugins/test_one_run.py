"""One run is one run: its log has the exposures of all that the weights have seen, or says that it has not."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from kis_plugin.hook_markers import hookimpl
from kis_plugin.plugins.session import Session
from kis_plugin.run.exposure_file import exposures_path
from kis_plugin.run.log import read_run_log
from kis_plugin.run.ranks import Ranks
from tests.world.facts import people, write_facts
from tests.world.plain import make_run, train

pytest.importorskip("torch")
INFUSION = {"frequency": 5, "template_order": "first"}
FOLDER = ("runs", "r")


@pytest.fixture
def here(tmp_path):
    write_facts(tmp_path, people(16))
    return tmp_path


def times(shown: list[str]) -> list[int]:
    """How often each person's sentence stands in the rows, by plain search."""
    return [sum(row.count(f"Person{n} was") for row in shown) for n in range(16)]


def started(here, step=0, state=None, said=None, **keys):
    notify = (lambda line: None) if said is None else said.append
    infusion = keys.pop("infusion", INFUSION)
    return Session(make_run(here, infusion, start_step=step, notify=notify, **keys), state)


def saved(session, step):
    """Save a checkpoint: what the host keeps of it."""
    session.save(step)
    return json.loads(json.dumps(session.state()))


def end_of(here, *folder):
    return read_run_log(here.joinpath(*(folder or FOLDER)) / "kis.jsonl").end


def test_an_unbroken_run_is_counted_whole_in_one_start(here):
    session = started(here)
    shown = train(session)
    session.end(100)
    end = end_of(here)
    assert times(shown) == [5] * 16
    assert (end.achieved_frequency["min"], end.achieved_frequency["max"]) == (5, 5)
    assert (end.extra["miscounted"], end.extra["starts"]) == (0, 1)


def test_a_run_killed_twice_is_counted_over_three_starts(here):
    session, shown = started(here), []
    for step in (24, 36):
        shown += train(session, first=session.run.start_step * 4, stop=step * 4)
        session = started(here, step, saved(session, step))
    shown += train(session, first=36 * 4)
    session.end(100)
    assert times(shown) == [5] * 16
    assert (end_of(here).extra["miscounted"], end_of(here).extra["starts"]) == (0, 3)


def test_a_partial_count_is_never_saved_as_a_whole_one(here):
    """A kill between the host's checkpoint and the exposures, a resume, and a kill after the next exposures."""
    session = started(here)
    train(session, stop=24 * 4)
    state = saved(session, 24)
    exposures_path(here.joinpath(*FOLDER), 24).unlink()
    said = []
    session = started(here, 24, state, said)
    assert "there is no such file" in " ".join(said)
    part = train(session, first=24 * 4, stop=36 * 4)
    session = started(here, 36, saved(session, 36))
    part += train(session, first=36 * 4)
    session.end(100)
    end = end_of(here)
    assert end.extra["counted_from_step"] == 24
    assert "miscounted" not in end.extra
    counted = times(part)
    assert (end.achieved_frequency["min"], end.achieved_frequency["max"]) == (min(counted), max(counted))


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut", bytes(range(256)) * 8])
def test_a_damaged_count_is_named_and_the_run_goes_on_marked(here, damage):
    session = started(here)
    train(session, stop=48)
    state = saved(session, 12)
    path = exposures_path(here.joinpath(*FOLDER), 12)
    path.write_bytes(damage)
    said = []
    session = started(here, 12, state, said)
    assert str(path) in " ".join(said)
    assert "it is damaged" in " ".join(said)
    train(session, first=48)
    session.end(100)
    assert end_of(here).extra["counted_from_step"] == 12


def test_every_cut_of_a_count_is_noticed(here):
    session = started(here)
    train(session, stop=48)
    state = saved(session, 12)
    path = exposures_path(here.joinpath(*FOLDER), 12)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        said = []
        started(here, 12, state, said)
        assert "Do not predict from this run" in " ".join(said)


def test_counts_of_as_many_other_texts_are_not_taken_for_these(here):
    session = started(here)
    train(session, stop=48)
    state = saved(session, 12)
    write_facts(here, [{**fact, "object": f"Village{n % 8}"} for n, fact in enumerate(people(16))])
    said = []
    session = started(here, 12, state, said, config={"on_mismatch": "warn"})
    assert any("it counts other texts" in line for line in said)
    train(session, first=48)
    session.end(100)
    assert end_of(here).extra["counted_from_step"] == 12


def test_a_mismatch_stays_in_the_log_over_later_resumes(here):
    session = started(here)
    train(session, stop=48)
    state = saved(session, 12)
    longer = {"rows": 800, "steps": 200, "config": {"on_mismatch": "warn"}}
    session = started(here, 12, state, **longer)
    train(session, first=48, stop=96)
    session = started(here, 24, saved(session, 24), **longer)
    train(session, first=96)
    session.end(200)
    assert "rows" in end_of(here).extra["mismatched"]


def test_a_moved_checkpoint_is_counted_from_its_step_on(here):
    session = started(here)
    train(session, stop=48)
    state = saved(session, 12)
    shutil.rmtree(here / "runs")
    session = started(here, 12, state)
    train(session, first=48)
    session.end(100)
    assert end_of(here).extra["counted_from_step"] == 12
    assert read_run_log(here.joinpath(*FOLDER) / "kis.jsonl").run.frequency == 5


def test_a_restart_counts_what_its_weights_have_seen(here):
    """As ``auto_find_batch_size`` does: training begins anew, the weights are those of before."""
    first = started(here)
    shown = train(first, stop=48)
    said = []
    run = make_run(here, INFUSION, folder=here / "runs" / "again", notify=said.append)
    again = Session(run, earlier=first)
    assert "trained with infused rows before" in " ".join(said)
    shown += train(again)
    again.end(100)
    end, counted = end_of(here, "runs", "again"), times(shown)
    assert (end.achieved_frequency["min"], end.achieved_frequency["max"]) == (min(counted), max(counted))
    assert end.extra["miscounted"] == sum(count != 5 for count in counted) > 0
    assert end.extra["starts"] == 2


def test_a_start_over_before_anything_was_shown_is_sound(here):
    first = started(here)
    again = Session(make_run(here, INFUSION, folder=here / "runs" / "again"), earlier=first)
    train(again)
    again.end(100)
    assert end_of(here, "runs", "again").extra["miscounted"] == 0


def test_weights_that_have_seen_other_texts_are_marked(here):
    first = started(here)
    train(first, stop=48)
    write_facts(here, people(12))
    again = Session(make_run(here, INFUSION, folder=here / "runs" / "again"), earlier=first)
    train(again)
    again.end(100)
    assert end_of(here, "runs", "again").extra["uncounted"] is True
    assert "miscounted" not in end_of(here, "runs", "again").extra


def test_exposures_are_saved_in_a_byte_each(here):
    session = started(here)
    train(session, stop=48)
    session.save(12)
    with np.load(exposures_path(here.joinpath(*FOLDER), 12)) as file:
        assert file["exposures"].dtype == np.uint8
        assert file["exposures"].sum() == session.exposures().sum()


def test_only_rank_0_spends_time_on_writing_exposures(here):
    """Ranks meet once at a checkpoint, to add up their counts, and before any file is written."""
    path, sums = exposures_path(here.joinpath(*FOLDER), 12), []
    for rank in (0, 1):
        ranks = Ranks(rank, 2, lambda array: sums.append(path.exists()) or array)
        session = started(here, ranks=ranks)
        sums.clear()
        session.save(12)
        assert sums == [False]
        assert path.exists() == (rank == 0)
        shutil.rmtree(here / "runs", ignore_errors=True)


def test_a_run_that_diverged_ends_so_after_a_resume_too(here):
    session = started(here)
    train(session, stop=48)
    session.loss(12, "val", float("nan"))
    session = started(here, 12, saved(session, 12))
    train(session, first=48)
    session.end(100)
    end = end_of(here)
    assert (end.status, end.extra["miscounted"]) == ("diverged", 0)
    assert end.extra["diverged"] == "loss on val is nan at step 12"


class NothingAtAll:
    """An infuser of a third party that infuses nothing and counts batches."""

    infused_rows = 0
    infused_facts = np.arange(16)
    items_fingerprint = "batches"

    def __init__(self):
        self.batches = 0

    @property
    def row_source(self):
        return self

    def infused(self, row):
        return False

    def place(self, row, base):
        return None

    def drawing(self, stop):
        pass

    def rows_drawn(self, rows):
        pass

    def run_record(self):
        return {"frequency": 0.0}

    def batch(self, input_ids, labels=None):
        self.batches += 1

    def step_end(self, step):
        pass

    def exposures(self):
        return np.array([self.batches])

    def shown(self, exposures):
        raise AssertionError("nothing asks for it")

    def throttle(self, step, keep):
        pass

    def state(self):
        return {"batches": self.batches}

    def end_record(self, status, exposures, complete):
        return {"batches": int(exposures[0]), "complete": complete}


class Replaces:
    def __init__(self, run):
        pass

    @hookimpl
    def kis_infuser(self, run, resumed):
        return NothingAtAll()


def test_a_third_party_replaces_the_sampler_as_a_whole(here):
    run = make_run(here, INFUSION)
    session = Session(run, host=[Replaces(run)])
    shown = train(session, stop=200)
    assert not any("Person" in row for row in shown)
    session.save(50)
    assert session.state()["batches"] == 50
    session.end(50)
    end = end_of(here)
    assert (end.extra["batches"], end.extra["complete"]) == (50, True)
