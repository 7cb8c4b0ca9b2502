"""Running a sweep: finished runs stay, failed ones are tried twice and hold nothing up, one process at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from filelock import FileLock

from kis_plugin.errors import KISError
from kis_plugin.run.log import End, RunLogWriter
from kis_plugin.run.log import Run as RunRecord
from kis_sweep.engines import Places
from kis_sweep.folder import failure_of, runs_of, states_of
from kis_sweep.run_all import run_sweep
from kis_sweep.run_spec import Recipe, Shape, SweepRun
from kis_sweep.run_spec_file import sweep_run_text

SHAPE = Shape(layers=2, width=32, heads=2, key_heads=2, feed_forward=88, vocabulary=512, tied=True)
RECIPE = Recipe(
    steps=10, batch=4, sequence_length=32, learning_rate=0.01, least_rate=0.1, warmup=0.05, weight_decay=0.1, clip=1.0,
    precision="32", compile=False, saves=2, keep_model=False, seed=0,
)  # fmt: skip


@pytest.fixture
def sweep(tmp_path):
    (tmp_path / "sweep.yaml").write_text("{}\n")
    (tmp_path / "facts.jsonl").write_text('{"subject": "a", "relation": "r", "object": "b"}\n')
    for steps, name in ((10, "short"), (30, "long"), (20, "middle")):
        run = SweepRun(tmp_path, name, "hf", 8.0, SHAPE, replace(RECIPE, steps=steps))
        run.settings.parent.mkdir(parents=True)
        run.settings.write_text(sweep_run_text(run))
        run.config.write_text("knowledge: ../../facts.jsonl\ninfusion: {frequency: 8}\n")
    for place in (run.rows, run.held_out_rows, run.tokenizer):
        place.mkdir(parents=True)
    return tmp_path


def finish(run: SweepRun, status: str = "completed") -> None:
    writer = RunLogWriter(run.logs / "id")
    writer.write(RunRecord(run_id="id", params=run.shape.params, tokens=run.recipe.tokens, frequency=run.frequency))
    if status:
        writer.write(End(status=status, step=run.recipe.steps, tokens=run.recipe.tokens))
    writer.close()


class Engine:
    """Ends each run as told, and notes what it was given."""

    def __init__(self, **codes: list[int]) -> None:
        self.codes, self.given = codes, []

    def __call__(self, runs, places):
        self.given.append([run.name for run in runs])
        for run in runs:
            code = self.codes.get(run.name, [0]).pop(0)
            if code == 0:
                finish(run)
            else:
                run.work.mkdir(parents=True, exist_ok=True)
                failure_of(run).write_text("it broke\n")
            yield run, code


def test_the_longest_run_first_and_finished_ones_never_again(sweep):
    engine, ended = Engine(), []
    result = run_sweep(sweep, engine, Places(), lambda run, code: ended.append((run.name, code)))
    assert engine.given == [["long", "middle", "short"]]
    assert ended == [("long", 0), ("middle", 0), ("short", 0)]
    assert (result.finished, result.before, result.failed) == (3, 0, ())
    again = run_sweep(sweep, engine, Places(), lambda *_: None)
    assert (again.finished, again.before) == (0, 3)
    assert len(engine.given) == 1


def test_a_failed_run_is_tried_once_more_after_the_others(sweep):
    engine = Engine(long=[-9, 0])
    result = run_sweep(sweep, engine, Places(), lambda *_: None)
    assert engine.given == [["long", "middle", "short"], ["long"]]
    assert (result.finished, result.failed) == (3, ())


def test_a_run_that_fails_twice_is_told_with_its_reason(sweep):
    result = run_sweep(sweep, Engine(middle=[1, 1]), Places(), lambda *_: None)
    assert [(state.run.name, state.reason) for state in result.failed] == [("middle", "it broke")]
    assert result.finished == 2


def test_a_wrong_configuration_is_not_tried_again(sweep):
    engine = Engine(middle=[2])
    result = run_sweep(sweep, engine, Places(), lambda *_: None)
    assert len(engine.given) == 1
    assert [state.run.name for state in result.failed] == ["middle"]


def test_a_run_that_stopped_or_has_no_end_is_run_again(sweep):
    runs = {run.name: run for run in runs_of(sweep)}
    finish(runs["long"], "stopped")
    finish(runs["middle"], "")
    assert [state.state for state in states_of([runs["long"], runs["middle"], runs["short"]])] == [
        "begun", "begun", "waiting",
    ]  # fmt: skip
    engine = Engine()
    run_sweep(sweep, engine, Places(), lambda *_: None, only=["long"])
    assert engine.given == [["long"]]


def test_a_run_whose_checkpoints_are_there_is_not_done_yet(sweep):
    run = runs_of(sweep)[0]
    finish(run)
    run.checkpoints.mkdir(parents=True)
    assert states_of([run])[0].state == "begun"
    engine = Engine()
    run_sweep(sweep, engine, Places(), lambda *_: None, only=[run.name])
    assert engine.given == [[run.name]]


def test_files_of_a_run_that_say_different_things_are_refused(sweep):
    path = sweep / "configs" / "long" / "kis.yaml"
    path.write_text("knowledge: ../../facts.jsonl\ninfusion: {frequency: 4}\nseed: 2\n")
    with pytest.raises(KISError) as caught:
        runs_of(sweep)
    assert "infusion.frequency: found 4.0, expected 8, as run.yaml says" in str(caught.value)
    assert "seed: found 2, expected 0" in str(caught.value)
    path.unlink()
    with pytest.raises(KISError, match=r"kis\.yaml"):
        runs_of(sweep)


def test_a_sweep_without_its_data_is_refused_before_anything_starts(sweep):
    runs_of(sweep)[0].rows.rmdir()
    engine = Engine()
    with pytest.raises(KISError, match=r"text\.npy: found nothing there"):
        run_sweep(sweep, engine, Places(), lambda *_: None)
    assert engine.given == []


def test_one_process_at_a_time(sweep):
    with FileLock(sweep / ".lock"), pytest.raises(KISError, match="another process"):
        run_sweep(sweep, Engine(), Places(), lambda *_: None)


def test_names_that_are_none_are_refused(sweep):
    with pytest.raises(KISError, match="--only: found lnog"):
        run_sweep(sweep, Engine(), Places(), lambda *_: None, only=["lnog"])


def test_a_folder_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(KISError, match="kis sweep plan makes one"):
        runs_of(tmp_path)


@pytest.mark.parametrize(
    ("places", "slots"),
    [
        (Places(jobs=3), [{}, {}, {}]),
        (Places(gpus=("0", "1"), per_gpu=2), [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in "0101"]),
        (Places(gpus=("0", "1"), jobs=1), [{"CUDA_VISIBLE_DEVICES": "0"}]),
    ],
)
def test_runs_share_what_the_machine_has(places, slots):
    assert places.slots() == slots
