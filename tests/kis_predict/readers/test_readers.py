import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_predict.readers import CSVReader, LeftOut, RunLogReader
from kis_predict.readers.gather import gather

READERS = {"run log": RunLogReader(), "CSV": CSVReader()}
END = {"type": "end", "status": "completed", "step": 10, "tokens": 100}


def held_out(step, accuracy):
    return {"type": "retention", "step": step, "tokens": 1, "probe": "held_out", "accuracy": accuracy, "n": 500}


def test_retention_of_a_run_log_is_its_last_held_out_record(write_log):
    seen = {**held_out(10, 0.99), "probe": "seen"}
    path = write_log("a", held_out(5, 0.3), held_out(10, 0.6), seen, END, facts=50, tokens_per_fact=20.0)
    (run,) = RunLogReader().read(path)
    assert (run.retention, run.n, run.chance, run.status) == (0.6, 500, 0.25, "completed")
    assert run.infused_share() == pytest.approx(8 * 50 * 20 / 2e8)


def test_probes_of_one_fact_count_as_what_they_are_worth(write_log):
    (run,) = RunLogReader().read(write_log("a", {**held_out(10, 0.6), "independent": 123.4}, END))
    assert run.n == 123


def test_only_the_held_out_series_is_retention(write_log):
    part = {**held_out(10, 0.99), "n": 7, "floor": 0.2, "ceiling": 1.0, "bits_per_byte": 1.5}
    names = ("held_out/relation/P19", "held_out/domain/Place", "background")
    others = [{**part, "probe": probe} for probe in names]
    (run,) = RunLogReader().read(write_log("a", {**held_out(10, 0.6), "bits_per_byte": 2.5}, *others, END))
    assert (run.retention, run.n, run.warnings) == (0.6, 500, ())


def loss(split, value):
    return {"type": "loss", "step": 10, "tokens": 100, "split": split, "loss": value}


@pytest.mark.parametrize(
    ("records", "taken"),
    [
        ([], None),
        ([loss("general", 2.5)], 2.5),
        ([loss("general", 3.5), loss("general", 2.5)], 2.5),
        ([loss("eval", 3.0), loss("general", 2.5)], 3.0),
        ([loss("general", 2.5), loss("val", 3.0)], 3.0),
    ],
)
def test_loss_is_the_hosts_own_where_it_has_one(write_log, records, taken):
    (run,) = RunLogReader().read(write_log("a", held_out(10, 0.6), *records, END))
    assert run.loss == taken


def test_a_run_without_an_end_is_unfinished(write_log):
    (run,) = RunLogReader().read(write_log("a", held_out(5, 0.3)))
    assert run.status == "unfinished"


def test_retention_measured_long_before_the_end_is_said(write_log):
    (run,) = RunLogReader().read(write_log("a", held_out(5, 0.3), END))
    assert "last measured at step 5 of 10" in run.warnings[0]


def test_numbers_that_no_run_can_have_are_refused_together(write_log):
    path = write_log("a", held_out(10, 1.5), END, params=0)
    with pytest.raises(KISError) as caught:
        RunLogReader().read(path)
    assert {problem.where.split()[-1] for problem in caught.value.problems} == {"params", "retention"}


def test_csv_columns_may_come_in_any_order_and_case(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(
        "\ufeffRetention, params,tokens,note,frequency,options\n0.5,1e7,2e8,hello,16,5\n\n", encoding="utf-8"
    )
    (run,) = CSVReader().read(path)
    assert (run.params, run.tokens, run.frequency, run.retention, run.chance) == (10**7, 2 * 10**8, 16.0, 0.5, 0.2)
    assert run.source == f"{path}:2"


def test_csv_says_every_wrong_value_with_its_line(tmp_path):
    path = tmp_path / "runs.csv"
    rows = ("params,tokens,frequency,retention,n", "1e7,2e8,four,0.5,10", "1.5,2e8,4,1.2,10", "1e7,2e8,4,nan,0")
    path.write_text("\n".join(rows))
    with pytest.raises(KISError) as caught:
        CSVReader().read(path)
    where = [problem.where.split(":")[-1] for problem in caught.value.problems]
    assert where == ["2 frequency", "3 params", "4 retention"]


@pytest.mark.parametrize(
    ("retention", "said"),
    [
        ("85.5", "retention: found 85.5, expected an accuracy between 0 and 1 rather than per cent"),
        ("855", "retention: found 855.0, expected an accuracy between 0 and 1$"),
        ('"0,85"', "retention: found '0,85', expected a finite number. Write decimals with a point."),
    ],
)
def test_per_cent_and_decimal_commas_are_recognised(tmp_path, retention, said):
    (path := tmp_path / "runs.csv").write_text(f"params,tokens,frequency,retention\n1000,20000,3,{retention}\n")
    with pytest.raises(KISError, match=said):
        list(CSVReader().read(path))


def test_csv_names_the_missing_column_and_the_nearest(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("param,tokens,frequency,retention\n1,2,3,0.4\n")
    with pytest.raises(KISError, match=r"no column 'params'.*Did you mean 'param'"):
        CSVReader().read(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("params,tokens,frequency,retention,n\n1e7,2e8,4,0,4,100\n", ":2: found 6 columns, expected 5"),  # 0,4 for 0.4
        ("params,tokens,frequency,retention,n\n1e7,2e8,4,0.4\n", ":2: found 4 columns, expected 5"),
        ("params,tokens,frequency,retention,Retention\n1,2,3,0.4,0.5\n", ":1 retention: found the column more than"),
    ],
)
def test_csv_rows_are_never_read_in_the_wrong_columns(tmp_path, text, said):
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(KISError) as caught:
        CSVReader().read(path)
    assert f"{path}{said}" in str(caught.value)


@pytest.mark.parametrize("options", [0, 1])
def test_a_run_log_of_fewer_than_two_options_is_refused(write_log, options):
    with pytest.raises(KISError, match=rf"options: found {options}, expected 2 options or more"):
        RunLogReader().read(write_log("a", held_out(10, 0.6), END, options=options))


def test_a_folder_that_cannot_be_searched_is_no_empty_one(monkeypatch, write_csv, sweep_runs, tmp_path):
    write_csv(sweep_runs(sizes=(1e7,)))
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def deny(place):
        if str(place).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", deny)  # permissions do not bind every user that runs this
    with pytest.raises(KISError, match=r"closed: found Permission denied, expected a folder that can be searched"):
        gather([tmp_path], READERS)


def test_a_link_to_itself_is_no_run_and_no_traceback(write_csv, sweep_runs, tmp_path):
    write_csv(sweep_runs(sizes=(1e7,)))
    (tmp_path / "kis.jsonl").symlink_to("kis.jsonl")
    assert len(gather([tmp_path], READERS).runs) == 11
    with pytest.raises(KISError, match=r"--logs .*kis\.jsonl: found .*, expected a folder of runs"):
        gather([tmp_path / "kis.jsonl"], READERS)


def test_of_a_thousand_problems_twenty_are_shown(tmp_path):
    (tmp_path / "kis.jsonl").write_text("what\n" * 1000)
    with pytest.raises(KISError) as caught:
        gather([tmp_path], READERS)
    assert len(caught.value.problems) == 21
    assert str(caught.value.problems[-1]).startswith("--logs: found 980 more problems")


def test_folders_are_searched_to_the_bottom(write_log, write_csv, sweep_runs, tmp_path):
    write_log("deep/er/a", held_out(10, 0.6), END)
    write_csv(sweep_runs(sizes=(1e7,)))
    (tmp_path / "metrics.csv").write_text("step,loss\n1,2\n")
    (tmp_path / "weights.bin").write_bytes(b"\0\xff")
    assert len(gather([tmp_path], READERS).runs) == 12


def test_a_file_reached_twice_is_read_once(write_csv, sweep_runs, tmp_path):
    path = write_csv(sweep_runs(sizes=(1e7,)))
    assert len(gather([tmp_path, path], READERS).runs) == 11


@pytest.mark.parametrize("name", ["gone", "notes.txt", "empty"])
def test_places_without_runs_are_refused(tmp_path, name):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    with pytest.raises(KISError, match="--logs"):
        gather([tmp_path / name], READERS)


def test_a_named_pipe_is_not_waited_for(write_csv, sweep_runs, tmp_path):
    write_csv(sweep_runs(sizes=(1e7,)))
    os.mkfifo(tmp_path / "pipe.csv")
    assert len(gather([tmp_path], READERS).runs) == 11


def reads_or_refuses(reader, path):
    try:
        runs = list(reader.read(path)) if reader.claims(path) else []
    except KISError:
        return
    for run in runs:
        if isinstance(run, LeftOut):
            continue
        assert run.params >= 1
        assert run.retention is None or 0 <= run.retention <= 1


fuzz = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
cells = st.one_of(st.sampled_from(["1e7", "20", "0.5", "", "nan", "inf", "-1", "1e999", '"', "é"]), st.text(max_size=5))
names = st.sampled_from(["params", "tokens", "frequency", "retention", "n", "chance", "options", "seed", "other"])


@fuzz
@given(st.lists(names, max_size=9), st.lists(st.lists(cells, max_size=9), max_size=5))
def test_no_table_ends_in_a_traceback(tmp_path, header, rows):
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(",".join(row) for row in [header, *rows]), encoding="utf-8", errors="replace")
    reads_or_refuses(CSVReader(), path)


@fuzz
@given(st.binary(max_size=300))
def test_no_bytes_end_in_a_traceback(tmp_path, content):
    for name, reader in (("runs.csv", CSVReader()), ("kis.jsonl", RunLogReader())):
        (tmp_path / name).write_bytes(b"params,tokens,frequency,retention\n" * (name == "runs.csv") + content)
        reads_or_refuses(reader, tmp_path / name)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(
    ["type", "params", "tokens", "frequency", "facts", "options", "seed", "share", "step", "probe", "accuracy", "n"]
)
kinds = st.sampled_from(["run", "retention", "loss", "end", "other"])


@fuzz
@given(st.lists(st.tuples(kinds, st.dictionaries(keys, json_values, max_size=8)), max_size=4), st.booleans())
def test_no_records_end_in_a_traceback(tmp_path, records, sound):
    base = {"run_id": "a", "params": 10, "tokens": 10, "frequency": 1, "step": 1, "probe": "held_out", "accuracy": 0.5,
            "n": 3, "split": "x", "loss": 1.0, "status": "completed"}  # fmt: skip
    lines = [json.dumps({**(base if sound else {}), **values, "type": kind}) for kind, values in records]
    path = tmp_path / "kis.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    reads_or_refuses(RunLogReader(), path)
