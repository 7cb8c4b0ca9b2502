"""Running a sweep: finished runs are skipped, failed runs are retried once, one process runs a sweep at a time."""

from __future__ import annotations

import errno
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from kis_plugin.errors import KISError
from kis_plugin.run.log import End, RunLogWriter
from kis_plugin.run.log import Run as RunRecord
from kis_sweep.engines import Resources
from kis_sweep.engines.local import on_this_machine
from kis_sweep.folder import failure_of, runs_of, set_aside_damaged_logs, states_of
from kis_sweep.run_all import run_sweep
from kis_sweep.run_process import run_once
from kis_sweep.run_spec import Recipe, Shape, SweepRun
from kis_sweep.run_spec_file import sweep_run_text
from kis_sweep.worker import main

SHAPE = Shape(layers=2, width=32, heads=2, key_heads=2, feed_forward=88, vocabulary=512, tied=True)
RECIPE = Recipe(
    steps=10, batch=4, sequence_length=32, learning_rate=0.01, least_rate=0.1, warmup=0.05, weight_decay=0.1, clip=1.0,
    precision="32", compile=False, saves=2, keep_model=False, seed=0,
)  # fmt: skip


def planned(folder: Path, steps: int) -> SweepRun:
    run = SweepRun(folder, "", "hf", 8.0, SHAPE, replace(RECIPE, steps=steps))
    return replace(run, name=run.planned_name)


SHORT, MIDDLE, LONG = (planned(Path(), steps).name for steps in (10, 20, 30))


@pytest.fixture
def sweep(tmp_path):
    (tmp_path / "sweep.yaml").write_text("{}\n")
    (tmp_path / "facts.jsonl").write_text('{"subject": "a", "relation": "r", "object": "b"}\n')
    for steps in (10, 30, 20):
        run = planned(tmp_path, steps)
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
    """Ends each run with a given exit code, and records the runs of each call."""

    def __init__(self, codes: dict[str, list[int]] | None = None, before=lambda run: None) -> None:
        self.codes, self.given, self.before = codes or {}, [], before

    def __call__(self, runs, resources):
        self.given.append([run.name for run in runs])
        for run in runs:
            self.before(run)
            code = self.codes.get(run.name, [0]).pop(0)
            if code == 0:
                finish(run)
            else:
                run.work.mkdir(parents=True, exist_ok=True)
                failure_of(run).write_text("it broke\n")
            yield run, code


def test_longest_run_is_first_and_finished_runs_are_skipped(sweep):
    engine, ended = Engine(), []
    result = run_sweep(sweep, engine, Resources(), lambda run, code: ended.append((run.name, code)))
    assert engine.given == [[LONG, MIDDLE, SHORT]]
    assert ended == [(LONG, 0), (MIDDLE, 0), (SHORT, 0)]
    assert (result.finished, result.before, result.failed) == (3, 0, ())
    again = run_sweep(sweep, engine, Resources(), lambda *_: None)
    assert (again.finished, again.before) == (0, 3)
    assert len(engine.given) == 1


def test_failed_run_is_retried_once_after_the_others(sweep):
    engine = Engine({LONG: [-9, 0]})
    result = run_sweep(sweep, engine, Resources(), lambda *_: None)
    assert engine.given == [[LONG, MIDDLE, SHORT], [LONG]]
    assert (result.finished, result.failed) == (3, ())


def test_run_that_fails_twice_is_reported_with_its_reason(sweep):
    result = run_sweep(sweep, Engine({MIDDLE: [1, 1]}), Resources(), lambda *_: None)
    assert [(state.run.name, state.reason) for state in result.failed] == [(MIDDLE, "it broke")]
    assert result.finished == 2


def test_run_with_a_wrong_configuration_is_not_retried(sweep):
    engine = Engine({MIDDLE: [2]})
    result = run_sweep(sweep, engine, Resources(), lambda *_: None)
    assert len(engine.given) == 1
    assert [state.run.name for state in result.failed] == [MIDDLE]


def test_run_without_a_completed_log_is_run_again(sweep):
    runs = {run.name: run for run in runs_of(sweep)}
    finish(runs[LONG], "stopped")
    finish(runs[MIDDLE], "")
    assert [state.state for state in states_of([runs[LONG], runs[MIDDLE], runs[SHORT]])] == [
        "interrupted", "interrupted", "waiting",
    ]  # fmt: skip
    engine = Engine()
    run_sweep(sweep, engine, Resources(), lambda *_: None, only=[LONG])
    assert engine.given == [[LONG]]


def test_run_with_checkpoints_is_not_finished(sweep):
    run = runs_of(sweep)[0]
    finish(run)
    run.checkpoints.mkdir(parents=True)
    assert states_of([run])[0].state == "interrupted"
    engine = Engine()
    run_sweep(sweep, engine, Resources(), lambda *_: None, only=[run.name])
    assert engine.given == [[run.name]]


def test_contradicting_files_of_a_run_are_refused(sweep):
    path = sweep / "configs" / LONG / "kis.yaml"
    path.write_text("knowledge: ../../facts.jsonl\ninfusion: {frequency: 4}\nseed: 2\n")
    with pytest.raises(KISError) as caught:
        runs_of(sweep)
    assert "infusion.frequency: found 4.0, expected 8, as in run.yaml" in str(caught.value)
    assert "seed: found 2, expected 0" in str(caught.value)
    path.unlink()
    with pytest.raises(KISError, match=r"kis\.yaml"):
        runs_of(sweep)


def test_sweep_without_its_data_is_refused_before_it_starts(sweep):
    runs_of(sweep)[0].rows.rmdir()
    engine = Engine()
    with pytest.raises(KISError, match=r"text\.npy: found no such file"):
        run_sweep(sweep, engine, Resources(), lambda *_: None)
    assert engine.given == []


def test_sweep_that_another_process_runs_is_refused(sweep):
    with FileLock(sweep / ".lock"), pytest.raises(KISError, match="another process"):
        run_sweep(sweep, Engine(), Resources(), lambda *_: None)


def test_unknown_run_names_are_refused(sweep):
    with pytest.raises(KISError, match="--only: found lnog"):
        run_sweep(sweep, Engine(), Resources(), lambda *_: None, only=["lnog"])


def test_folder_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(KISError, match="kis sweep plan creates one"):
        runs_of(tmp_path)


@pytest.mark.parametrize(
    ("resources", "slots"),
    [
        (Resources(jobs=3), [{}, {}, {}]),
        (Resources(gpus=("0", "1"), per_gpu=2), [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in "0101"]),
        (Resources(gpus=("0", "1"), jobs=1), [{"CUDA_VISIBLE_DEVICES": "0"}]),
    ],
)
def test_slots_follow_jobs_and_gpus(resources, slots):
    assert resources.slots() == slots


DAMAGES = {
    "garbage": b"garbage\n{}\n",
    "bytes": bytes(range(256)) * 9,
    "zeros": bytes(5000) + b"\n{}\n",
    "first line cut off": b'm": 5}\n{"type": "loss"}\n',
    "two runs": b'{"type": "run", "run_id": "a", "params": 1, "tokens": 1}\n' * 2,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_log_is_named_set_aside_and_all_runs_finish(sweep, damage, capsys):
    run = {run.name: run for run in runs_of(sweep)}[LONG]
    finish(run, "")
    log = run.logs / "id" / "kis.jsonl"
    damage = damage.replace(b'"params": 1', b'"params": 2', 1)
    log.write_bytes(damage)
    (state,) = (state for state in states_of(runs_of(sweep)) if state.run.name == LONG)
    assert state.state == "failed"
    assert f"its log is damaged: {log}" in state.reason
    assert "kis sweep run sets it aside" in state.reason
    said = []
    engine = Engine(before=set_aside_damaged_logs)
    result = run_sweep(sweep, engine, Resources(), lambda *_: None, notify=said.append)
    assert (result.finished, result.failed) == (3, ())
    assert len(said) == 1
    assert said[0].startswith(f"kis: {LONG}: its log is damaged: {log}")
    (kept,) = (run.work / "damaged").iterdir()
    assert kept.read_bytes() == damage
    assert str(kept) in capsys.readouterr().err


@pytest.mark.parametrize("log", ["", '{"type": "ru'], ids=["empty", "torn"])
def test_run_whose_log_never_began_is_trained(sweep, log):
    run = {run.name: run for run in runs_of(sweep)}[LONG]
    finish(run, "")
    (run.logs / "id" / "kis.jsonl").write_text(log)
    assert run_sweep(sweep, Engine(), Resources(), lambda *_: None).finished == 3


def test_log_of_a_newer_release_is_kept_and_its_run_left_out(sweep):
    run = {run.name: run for run in runs_of(sweep)}[LONG]
    finish(run)
    log = run.logs / "id" / "kis.jsonl"
    log.write_text(log.read_text().replace('"schema": 2', '"schema": 99'))
    engine = Engine()
    result = run_sweep(sweep, engine, Resources(), lambda *_: None)
    assert engine.given == [[MIDDLE, SHORT]]
    assert [state.run.name for state in result.failed] == [LONG]
    assert "written by a newer KIS" in result.failed[0].reason
    assert '"schema": 99' in log.read_text()


def test_log_whose_configuration_is_gone_is_named(sweep):
    run = {run.name: run for run in runs_of(sweep)}[LONG]
    finish(run)
    shutil.rmtree(run.settings.parent)
    broken = []
    assert run_sweep(sweep, Engine(), Resources(), lambda *_: None, broken=broken).finished == 2
    assert [str(problem) for problem in broken] == [
        f"{run.logs}: found the log of a run without a configuration, expected the folder {run.settings.parent}. "
        "Put it back, or move the log to another place."
    ]


def test_reason_of_a_failure_that_is_no_text_is_shown(sweep):
    run = runs_of(sweep)[0]
    run.work.mkdir(parents=True)
    failure_of(run).write_bytes(b"\xff\x00broken" + b"x" * 10_000_000)
    (state,) = states_of([run])
    assert state.state == "failed"
    assert "broken" in state.reason
    assert len(state.reason) < 3000


def test_failed_run_that_a_process_still_trains_is_running(sweep):
    run = runs_of(sweep)[0]
    run.work.mkdir(parents=True)
    failure_of(run).write_text("it broke\n")
    with FileLock(run.work / ".lock"):
        assert states_of([run])[0].state == "running"
    assert states_of([run])[0].state == "failed"


def test_worker_waits_for_a_process_that_trains_the_run(sweep, monkeypatch):
    """A sweep whose driver was killed is started again: its workers go on alone and must not be taken for failures."""
    run = runs_of(sweep)[0]
    run.work.mkdir(parents=True)
    trained = []
    framework = type("Framework", (), {"train": staticmethod(lambda run: (trained.append(run.name), finish(run)))})
    monkeypatch.setattr("kis_sweep.worker.find", lambda *words: framework)
    for orphan_ends in (True, False):
        shutil.rmtree(run.logs, ignore_errors=True)
        lock = FileLock(run.work / ".lock", thread_local=False)
        lock.acquire()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(main, str(sweep), run.name)
            time.sleep(1.5)
            assert not waiting.done()
            if orphan_ends:
                finish(run)
            lock.release()
            assert waiting.result(timeout=30) == 0
        assert trained == ([] if orphan_ends else [run.name])


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("OSError: [Errno 28] No space left on device: '/x'", "no space left on the disk of"),
        ("SafetensorError: I/O error: No space left on device (os error 28)", "no space left on the disk of"),
        (
            "RuntimeError: [enforce fail] PytorchStreamWriter failed writing file\nlater line",
            "no space left on the disk",
        ),
        (
            "RuntimeError: [enforce fail at inline_container.cc:672] . unexpected pos 73024 vs 72916",
            "no space left on the disk",
        ),
        ("ValueError: wrong", "ValueError: wrong"),
    ],
)
def test_full_disk_is_reported_as_what_it_is(sweep, monkeypatch, output, reason):
    run = runs_of(sweep)[0]
    program = f"import sys; print({output!r}); sys.exit(1)"
    monkeypatch.setattr("kis_sweep.run_process._command", lambda run: [sys.executable, "-c", program])
    assert run_once(run, {}) == 1
    assert failure_of(run).read_text().startswith(reason)
    assert output.splitlines()[0] in failure_of(run).read_text()


def test_disk_on_which_no_reason_fits_stops_no_other_run(sweep, monkeypatch, capsys):
    runs = runs_of(sweep)
    kept = Path.mkdir

    def mkdir(path, *words, **keys):
        if path == runs[0].work:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return kept(path, *words, **keys)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr("kis_sweep.run_process._command", lambda run: [sys.executable, "-c", "print('trained')"])
    ended = []
    result = run_sweep(sweep, on_this_machine, Resources(jobs=1), lambda run, code: ended.append(run.name))
    assert {*ended} == {run.name for run in runs}
    assert len(result.failed) == 3
    assert f"kis: {runs[0].name}: no space left on the disk of {sweep}" in capsys.readouterr().err


def test_lock_that_cannot_be_made_is_an_error(sweep, monkeypatch):
    def full(self, *words, **keys):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FileLock, "acquire", full)
    with pytest.raises(KISError, match=r"\.lock: found no space left on device, expected a file that can be locked"):
        run_sweep(sweep, Engine(), Resources(), lambda *_: None)


def test_run_without_run_yaml_is_named_and_the_others_finish(sweep):
    (sweep / "configs" / LONG / "run.yaml").unlink()
    with pytest.raises(KISError, match=r"run\.yaml"):
        runs_of(sweep)
    broken = []
    assert run_sweep(sweep, Engine(), Resources(), lambda *_: None, broken=broken).finished == 2
    assert [LONG in problem.where for problem in broken] == [True]


@pytest.mark.parametrize("linked", ["runs", "work"])
def test_link_out_of_the_sweep_is_refused_and_removes_nothing(sweep, tmp_path_factory, linked):
    elsewhere = tmp_path_factory.mktemp("home")
    (elsewhere / LONG).mkdir()
    (elsewhere / LONG / "thesis.tex").write_text("years of work")
    (sweep / linked).symlink_to(elsewhere)
    engine = Engine()
    with pytest.raises(KISError, match=r"found a link to .*, expected a folder inside the sweep's"):
        run_sweep(sweep, engine, Resources(), lambda *_: None)
    assert engine.given == []
    assert (elsewhere / LONG / "thesis.tex").read_text() == "years of work"


def test_run_with_another_name_than_planned_is_refused(sweep):
    (sweep / "configs" / LONG).rename(sweep / "configs" / "Documents")
    with pytest.raises(KISError, match=f"found a run named 'Documents', expected {LONG}"):
        run_sweep(sweep, Engine(), Resources(), lambda *_: None)


def test_unfinished_run_is_running_while_a_process_holds_it(sweep):
    run = runs_of(sweep)[0]
    finish(run, "")
    run.work.mkdir(parents=True)
    with FileLock(run.work / ".lock"):
        assert states_of([run])[0].state == "running"
    assert states_of([run])[0].state == "interrupted"
