"""Trainer states, LitGPT's CSV and TensorBoard's events, from real runs: what is read, merged, and left out."""

import json
import shutil
from pathlib import Path

import pytest

from kis_plugin.errors import KISError
from kis_plugin.registry import registered
from kis_predict.readers import LitGPTReader, TrainerStateReader
from kis_predict.readers.gather import gather

REAL = Path(__file__).parent / "real"
METRICS = (REAL / "metrics.csv").read_text().splitlines()
STATE = json.loads((REAL / "trainer_state.json").read_text())


def read(place, **mapping):
    return gather([place], registered("log_readers"), mapping)


def put_state(folder, step=24, **changes):
    path = folder / f"checkpoint-{step}" / "trainer_state.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**STATE, "global_step": step, **changes}))
    return path


def put_sidecar(folder, **values):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kis.json").write_text(json.dumps(values))


# --- Hugging Face Trainer ----------------------------------------------------------------------------------------


def test_a_trainer_state_and_a_sidecar_make_a_run(tmp_path):
    put_state(tmp_path / "a")
    put_sidecar(tmp_path, params=89248, options=4, n=40)
    (run,) = read(tmp_path).runs
    assert (run.params, run.tokens, run.frequency, run.facts, run.seed) == (89248, 24 * 4 * 128, 8.0, 52, 0)
    assert (run.retention, run.chance, run.n, run.schedule_hash) == (0.25, 0.25, 40, "386c07a471669952")
    assert run.loss == pytest.approx(7.6277, abs=1e-4)


def test_of_a_runs_checkpoints_the_furthest_counts(tmp_path):
    for step in (8, 16, 24):
        history = [{"retention/held_out": step / 100, "step": step}]
        put_state(tmp_path / "a", step, log_history=history)
    put_sidecar(tmp_path, params=1000)
    (run,) = read(tmp_path).runs
    assert run.retention == 0.24


def test_a_torn_trainer_state_gives_way_to_the_one_before(tmp_path):
    put_state(tmp_path / "a", 16)
    put_state(tmp_path / "a", 24).write_text('{"global_step": 2')
    put_state(tmp_path / "b", 24)
    put_sidecar(tmp_path, params=1000)
    found = read(tmp_path)
    assert [run.source for run in found.runs] == [str(tmp_path / "b" / "checkpoint-24" / "trainer_state.json")]
    assert any(note.startswith("Left out 1 log (torn)") for note in found.notes)
    assert any(note.startswith("Left out 1 log (the run did not complete)") for note in found.notes)


def test_a_trainer_state_beside_a_run_log_is_left_out(tmp_path):
    kis = (REAL / "kis.jsonl").read_text()
    run_id = json.loads(kis.split("\n")[0])["run_id"]
    (tmp_path / "runs" / run_id).mkdir(parents=True)
    (tmp_path / "runs" / run_id / "kis.jsonl").write_text(kis)
    put_state(tmp_path / "out")
    found = read(tmp_path)
    assert [run.source for run in found.runs] == [str(tmp_path / "runs" / run_id / "kis.jsonl")]
    assert found.notes[0].startswith("Left out 1 log (another log is of the same run)")


def test_a_foreign_trainer_state_names_what_it_lacks(tmp_path):
    put_state(tmp_path, stateful_callbacks={})
    with pytest.raises(KISError, match=r"no params, frequency: give them by --map, or by a kis.json next to the log"):
        read(tmp_path)


@pytest.mark.parametrize("changed", [{"log_history": {}}, {"max_steps": "many"}, {"global_step": None}])
def test_a_state_of_something_else_is_refused(tmp_path, changed):
    path = put_state(tmp_path)
    path.write_text(json.dumps({**STATE, **changed}))
    with pytest.raises(KISError, match="no state of a Trainer"):
        list(TrainerStateReader().read(path))


def test_training_args_bin_is_never_opened(tmp_path, monkeypatch):
    put_state(tmp_path)
    put_sidecar(tmp_path, params=1000)
    (tmp_path / "checkpoint-24" / "training_args.bin").write_bytes(b"cposix\nsystem\n")
    opened = []
    real_open = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: (opened.append(self.name), real_open(self, *a, **k))[1])
    assert len(read(tmp_path).runs) == 1
    assert "training_args.bin" not in opened


def test_a_diverged_run_is_left_out_and_the_others_are_read(tmp_path):
    put_state(tmp_path / "a", log_history=[*STATE["log_history"], {"eval_loss": float("nan"), "step": 24}])
    put_state(tmp_path / "b")
    put_sidecar(tmp_path, params=1000)
    found = read(tmp_path)
    assert [run.source for run in found.runs] == [str(tmp_path / "b" / "checkpoint-24" / "trainer_state.json")]
    assert found.notes[0].startswith("Left out 1 log (loss not finite: the run diverged)")


# --- LitGPT ------------------------------------------------------------------------------------------------------


def put_litgpt(out, *versions):
    for number, lines in enumerate(versions):
        path = out / "logs" / "csv" / f"version_{number}" / "metrics.csv"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join([METRICS[0], *lines]) + "\n")
    (out / "final").mkdir()
    shutil.copy(REAL / "hyperparameters.yaml", out / "final")


def test_versions_of_a_resumed_litgpt_run_are_one_run(tmp_path):
    put_litgpt(tmp_path / "a", METRICS[1:8], METRICS[8:])
    put_sidecar(tmp_path, params=362240, frequency=8)
    found = read(tmp_path)
    (run,) = found.runs
    assert (run.params, run.tokens, run.frequency, run.retention) == (362240, 81920, 8.0, 0.25)
    assert run.loss == pytest.approx(6.28914, abs=1e-5)
    assert run.source.endswith("version_1/metrics.csv")
    assert found.notes == run.warnings == ()


def test_a_litgpt_run_short_of_its_budget_is_unfinished(tmp_path):
    put_litgpt(tmp_path / "a", METRICS[1:8])
    put_litgpt(tmp_path / "b", METRICS[1:])
    put_sidecar(tmp_path, params=362240, frequency=8)
    found = read(tmp_path)
    assert len(found.runs) == 1
    assert "(the run did not complete)" in found.notes[0]


def test_a_litgpt_log_is_no_table_of_runs_whatever_the_map(tmp_path):
    put_litgpt(tmp_path, METRICS[1:])
    put_sidecar(tmp_path, params=10, frequency=8)
    (run,) = read(tmp_path, tokens="total_tokens", retention="retention/control").runs
    assert (run.tokens, run.retention) == (81920, 0.25)


def test_a_litgpt_row_cut_short_in_the_middle_is_refused(tmp_path):
    put_litgpt(tmp_path, [*METRICS[1:4], "10,10", *METRICS[4:]])
    with pytest.raises(KISError, match=r"metrics.csv:5: found 2 columns, expected 21"):
        list(LitGPTReader().read(tmp_path / "logs" / "csv" / "version_0" / "metrics.csv"))


# --- TensorBoard -------------------------------------------------------------------------------------------------


@pytest.fixture
def write_events():
    writer_module = pytest.importorskip("tensorboardX")

    def write(folder, scalars, **name):
        writer = writer_module.SummaryWriter(str(folder), **name)
        for tag, values in scalars.items():
            for step, value in values.items():
                writer.add_scalar(tag, value, step)
        writer.close()
        return next(iter(sorted(folder.glob("*.tfevents.*"), key=lambda path: path.stat().st_mtime_ns, reverse=True)))

    return write


def test_event_files_of_one_folder_are_one_run(tmp_path, write_events):
    write_events(tmp_path / "a", {"retention/held_out": {0: 0.25, 50: 0.4}, "total_tokens": {50: 500}})
    write_events(
        tmp_path / "a",
        {"retention/held_out": {100: 0.5}, "val_loss": {100: 3.5}, "total_tokens": {100: 1000}},
        filename_suffix=".resumed",
    )
    put_sidecar(tmp_path / "a", params=1000, tokens=1000, frequency=8, options=4)
    (run,) = read(tmp_path).runs
    assert (run.params, run.tokens, run.retention, run.loss, run.chance) == (1000, 1000, 0.5, 3.5, 0.25)
    assert run.warnings == ()


def test_a_diverged_run_has_no_last_finite_loss(tmp_path, write_events):
    write_events(tmp_path / "a", {"retention/held_out": {1: 0.25}, "val_loss": {1: 3.0, 2: float("nan")}})
    put_sidecar(tmp_path / "a", params=1000, tokens=1000, frequency=8, status="completed")
    with pytest.raises(KISError, match="loss not finite: the run diverged"):
        read(tmp_path)


def test_a_torn_event_file_is_read_up_to_the_tear(tmp_path, write_events):
    path = write_events(tmp_path / "a", {"retention/held_out": {1: 0.25, 2: 0.5}})
    path.write_bytes(path.read_bytes()[:-7])
    put_sidecar(tmp_path / "a", params=1000, tokens=1000, frequency=8, status="completed")
    (run,) = read(tmp_path).runs
    assert run.retention == 0.25
    assert "last record is torn" in run.warnings[0]


def test_a_changed_byte_in_an_event_file_is_refused(tmp_path, write_events):
    path = write_events(tmp_path / "a", {"retention/held_out": {1: 0.25, 2: 0.5}})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(KISError, match=r"byte \d+: found a wrong checksum, expected a record of TensorBoard's"):
        read(tmp_path)


def test_newer_writers_put_scalars_into_tensors(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.proto.tensor_pb2 import TensorProto

    tensor = TensorProto(dtype=1, float_val=[0.75])
    value = Summary.Value(tag="retention/held_out", tensor=tensor)
    writer = EventsWriter(str(tmp_path / "run"))
    writer.write_event(Event(step=3, summary=Summary(value=[value])))
    writer.close()
    put_sidecar(tmp_path, params=1000, tokens=1000, frequency=8, status="completed")
    (run,) = read(tmp_path).runs
    assert run.retention == 0.75


def test_without_the_extra_event_files_are_named(tmp_path, monkeypatch, write_csv, sweep_runs):
    (tmp_path / "events.out.tfevents.1.host").write_bytes(b"")
    write_csv(sweep_runs(sizes=(1e7,)))
    monkeypatch.setattr("kis_predict.readers.tensorboard.find_spec", lambda name: None)
    found = read(tmp_path)
    assert len(found.runs) == 11
    assert "pip install 'kis-plugin[tensorboard]'" in found.notes[0]


def test_a_trainers_events_and_its_state_are_one_run(tmp_path, write_events):
    put_state(tmp_path / "out")
    write_events(tmp_path / "out" / "runs" / "Nov23_16-32-12_host", {"train/retention/held_out": {24: 0.25}})
    put_sidecar(tmp_path, params=1000)
    found = read(tmp_path)
    assert len(found.runs) == 1
    assert found.notes[0].startswith("Left out 1 log (another log is of the same run)")


# --- --map -------------------------------------------------------------------------------------------------------


def test_a_map_leads_into_the_log_or_into_a_file_beside_it(tmp_path):
    put_state(tmp_path, stateful_callbacks={}, trial_params={"infusion": {"f": 16}})
    (tmp_path / "checkpoint-24" / "config.json").write_text('{"sizes": {"total": 5000}, "torch_dtype": "float32"}')
    (run,) = read(tmp_path, params="config.sizes.total", frequency="trial_params.infusion.f").runs
    assert (run.params, run.frequency, run.tokens) == (5000, 16.0, 12288)


def test_the_nearest_sidecar_inside_the_folder_counts(tmp_path):
    sweep = tmp_path / "sweep"
    put_sidecar(tmp_path, seed=9, params=1)
    put_sidecar(sweep, params=1000, options=5)
    put_sidecar(sweep / "b", params=2000)
    for name in ("a", "b"):
        put_state(sweep / name)
    assert [(run.params, run.chance) for run in read(sweep).runs] == [(1000, 0.2), (2000, 0.2)]


def test_a_path_that_leads_nowhere_is_refused_with_the_nearest(tmp_path):
    put_state(tmp_path)
    put_sidecar(tmp_path, params=1000)
    with pytest.raises(KISError, match=r"--map loss=eval_los: found none of that name in 1 log.* mean 'eval_loss'"):
        read(tmp_path, loss="eval_los")


def test_a_path_that_leads_nowhere_in_some_logs_is_said(tmp_path):
    put_state(tmp_path / "a", log_history=[*STATE["log_history"], {"eval_wiki_loss": 3.5, "step": 24}])
    put_state(tmp_path / "b")
    put_sidecar(tmp_path, params=1000)
    found = read(tmp_path, loss="eval_wiki_loss")
    assert found.runs[0].loss == 3.5
    assert "--map loss=eval_wiki_loss matches nothing in 1 of 2 foreign logs" in found.notes[-1]


def test_a_wandb_table_is_read_by_its_own_column_names(tmp_path):
    path = tmp_path / "wandb.csv"
    path.write_text(
        '"Name","State","config.n_params","config.D","config.F","summary.acc"\n'
        '"a","finished","1e7","2e8","4","0.5"\n"b","crashed","1e7","2e8","8",""\n'
    )
    columns = {"params": "config.n_params", "tokens": "config.D", "frequency": "config.F", "retention": "summary.acc"}
    first, second = read(path, **columns, status="State").runs
    assert (first.params, first.retention, first.status) == (10**7, 0.5, "completed")
    assert (second.retention, second.status) == (None, "crashed")


def test_a_map_of_columns_that_no_table_has_is_refused(write_csv, sweep_runs):
    path = write_csv(sweep_runs(sizes=(1e7,)))
    with pytest.raises(KISError, match=r"--map retention=retentoin: found none of that name in 1 log.*'retention'"):
        read(path, retention="retentoin")


@pytest.mark.parametrize("content", ["[1, 2]", "{", "", '"text"'])
def test_a_sidecar_that_is_no_mapping_is_refused_by_name(tmp_path, content):
    put_state(tmp_path)
    (tmp_path / "kis.json").write_text(content)
    with pytest.raises(KISError, match=r"kis\.json"):
        read(tmp_path)


def test_yaml_beside_a_log_runs_nothing(tmp_path):
    put_state(tmp_path)
    (tmp_path / "settings.yaml").write_text("a: !!python/object/apply:os.system ['touch gone']\nn: 1000\n")
    (run,) = read(tmp_path, params="settings.n").runs
    assert run.params == 1000
    assert not Path("gone").exists()
