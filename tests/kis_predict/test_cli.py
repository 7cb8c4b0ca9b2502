import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kis_plugin.amounts import round_down, short
from kis_plugin.registry import registered
from kis_predict import method
from kis_predict.cli import main
from kis_predict.pipeline import PredictionRequest, predict
from kis_predict.report.texts import sensitivity_lines

KEYS = {
    "status", "target", "collapse", "peak", "recommendation", "law", "groups", "extrapolation", "forgetting",
    "binding", "axis", "next_runs", "assumptions", "warnings", "missing", "version", "request", "confidence",
}  # fmt: skip
LARGE = (1e8, 3e8, 9e8, 27e8)


@pytest.fixture
def sweep(write_csv, sweep_runs):
    return str(write_csv(sweep_runs(sizes=LARGE, last={3: -1.5})))


@pytest.fixture
def thin(write_csv, sweep_runs):
    return str(write_csv(sweep_runs(sizes=(1e7, 3e7)), "thin.csv"))


def run(*args):
    return main([*args, "--bootstraps", "100"] if "--bootstraps" not in args else list(args))


def test_report_has_the_sizes_the_law_and_the_recommendation(sweep, capsys):
    assert run("--logs", sweep, "--target", "7B") == 0
    out, err = capsys.readouterr()
    for word in (
        "2.7B",
        "> ",
        "log F_c = a + b log N",
        "fitted without the largest size",
        "Infuse at most",
        "Assumed",
        "the risk of it",
    ):
        assert word in out
    assert "Read 44 runs." in err
    assert "Warnings" not in err


def test_warnings_go_to_standard_error(sweep, capsys):
    assert run("--logs", sweep, "--target", "7B", "--tokens", "280B") == 0
    out, err = capsys.readouterr()
    assert "cannot be known from this sweep" in " ".join(err.split())
    assert "cannot be known from this sweep" not in " ".join(out.split())
    assert "Warnings" not in out


def test_the_answer_comes_first_in_three_lines(sweep, thin, capsys):
    assert run("--logs", sweep, "--target", "7B") == 0
    first, second, third, empty = capsys.readouterr().out.splitlines()[:4]
    assert first.startswith("Infuse at most ")
    assert second.startswith("Collapse is predicted at F = ")
    assert third.startswith("This extrapolates to ")
    assert empty == ""
    assert run("--logs", thin, "--target", "7B") == 1
    assert capsys.readouterr().out.startswith("No prediction for N=7B: the evidence is too weak.\n")


def test_a_narrow_report_cuts_nothing(sweep, capsys, monkeypatch):
    from rich.console import Console

    from kis_predict.report.terminal import print_report

    monkeypatch.delenv("COLUMNS", raising=False)
    run("--logs", sweep, "--target", "7B", "--json")
    answer = json.loads(capsys.readouterr().out)
    run("--logs", sweep, "--target", "7B")  # into a pipe
    piped = capsys.readouterr().out
    assert "…" not in piped
    from kis_plugin.amounts import short
    from kis_predict import predict, read_runs

    narrow = Console(width=50, highlight=False)
    with narrow.capture() as captured:
        print_report(predict(read_runs(sweep), target="7B", bootstraps=100), narrow)
    assert "…" not in captured.get()
    for group in answer["groups"]:
        assert f"N={short(group['params'])}" in captured.get()


def test_warnings_keep_paths_whole(write_csv, sweep_runs, tmp_path, capsys, monkeypatch):
    (folder := tmp_path / ("a-very-long-name-" * 8)).mkdir()
    path = write_csv(sweep_runs()).rename(folder / "sweep.csv")
    path.write_text(path.read_text() + "10000000,200000000,9,0.5,1000,0.25,0,1000,20\n" * 2)
    for columns in ("80", None):
        monkeypatch.setenv("COLUMNS", columns) if columns else monkeypatch.delenv("COLUMNS")
        run("--logs", str(path), "--target", "7B")
        assert f"{path}:47" in capsys.readouterr().err


def test_the_report_fits_80_columns_in_plain_ascii(sweep, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    run("--logs", sweep, "--target", "7B")
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out
    assert "…" not in out


def test_json_is_one_object_with_the_stated_keys(sweep, capsys):
    assert run("--logs", sweep, "--target", "7B", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) >= KEYS
    assert answer["target"] == {"params": 7 * 10**9, "tokens": 140 * 10**9}
    for name in ("collapse", "peak"):
        assert list(answer[name]) == ["frequency", "low", "high", "share"]
        assert answer[name]["low"] < answer[name]["frequency"] < answer[name]["high"]
    assert len(answer["groups"]) == 4
    assert answer["groups"][3]["censored"] == "right"
    assert answer["groups"][3]["collapse"] is answer["groups"][3]["high"] is None
    assert answer["missing"] == []


def test_weak_evidence_is_exit_1_without_a_number(thin, capsys):
    assert run("--logs", thin, "--target", "7B", "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) >= KEYS
    assert answer["status"] == "insufficient"
    assert [answer[key] for key in ("collapse", "peak", "recommendation", "law", "extrapolation")] == [None] * 5
    assert answer["missing"]


def test_weak_evidence_says_what_to_add(thin, capsys):
    assert run("--logs", thin, "--target", "7B") == 1
    out = capsys.readouterr().out
    assert "No prediction for N=7B" in out
    assert "N=90M" in out
    assert "Infuse" not in out


def test_same_seed_same_bytes(sweep, capsys):
    outputs = []
    for _ in range(2):
        run("--logs", sweep, "--target", "7B", "--json", "--seed", "3")
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "--target"),
        (["--logs", "SWEEP"], "--target"),
        (["--target", "7B"], "--logs"),
        (["--logs", "SWEEP", "--target", "7Q"], "'7Q' is not an amount such as 7B"),
        (["--logs", "SWEEP", "--target", "0"], "is not an amount"),
        (["--logs", "SWEEP", "--target", "7B", "--tokens", "-1"], "is not an amount"),
        (["--logs", "SWEEP", "--target", "7B", "--risk", "0"], "between 0 and 1"),
        (["--logs", "SWEEP", "--target", "7B", "--risk", "nan"], "between 0 and 1"),
        (["--logs", "SWEEP", "--target", "7B", "--confidence", "1"], "between 0 and 1"),
        (["--logs", "SWEEP", "--target", "7B", "--bootstraps", "1"], "--bootstraps"),
        (["--logs", "SWEEP", "--target", "7B", "--seed", "-1"], "--seed"),
        (["--logs", "SWEEP", "--target", "7B", "--facts", "some"], "--facts"),
        (["--logs", "SWEEP", "--target", "7B", "--tokens-per-fact", "0"], "--tokens-per-fact"),
        (["--logs", "SWEEP", "--target", "7B", "--tragte"], "No such option"),
        (["--logs", "nowhere/", "--target", "7B"], "nothing of that name"),
    ],
)
def test_wrong_usage_is_exit_two_and_one_message(sweep, capsys, args, said):
    assert main([sweep if arg == "SWEEP" else arg for arg in args]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""
    assert "Traceback" not in err


def test_bad_logs_are_exit_two_with_every_line(tmp_path, capsys):
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,frequency,retention\n1e7,2e8,4,2\n1e7,2e8,x,0.5\n")
    assert main(["--logs", str(path), "--target", "7B"]) == 2
    err = capsys.readouterr().err
    assert f"{path}:2 retention" in err
    assert f"{path}:3 frequency" in err


def test_logs_may_be_repeated(write_csv, sweep_runs, capsys):
    small = write_csv(sweep_runs(sizes=(1e7, 3e7)), "small.csv")
    large = write_csv([replace(run, seed=7) for run in sweep_runs(sizes=(9e7,))], "large.csv")
    assert run("--logs", str(small), "--logs", str(large), "--target", "800M", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["groups"]) == 3


def test_help_begins_with_examples_that_name_real_options(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert out.index("kis-predict --logs runs/ --target 7B") < out.index("Options:")


def test_version(capsys):
    assert main(["--version"]) == 0
    assert "kis-predict" in capsys.readouterr().out


def test_help_imports_nothing_heavy():
    heavy = "{'numpy', 'scipy', 'rich', 'torch'}"
    code = f"import sys, kis_predict.cli as c; c.main(['--help']); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_files_are_written_beside_the_report(sweep, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    plot, report, config = tmp_path / "sweep.svg", tmp_path / "report.html", tmp_path / "kis.yaml"
    args = ["--plot", str(plot), "--report", str(report), "--write-config", str(config), "--json"]
    assert run("--logs", sweep, "--target", "7B", *args) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "ok"
    assert plot.read_bytes().startswith(b"<?xml")
    assert report.read_text().startswith("<!DOCTYPE html>")
    assert "frequency: " in config.read_text()
    for path in (plot, report, config):
        assert f"Wrote {path}" in err
    assert "facts.jsonl still has to be put next to it" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kis.yaml", "report.html", "sweep.csv", "sweep.svg"]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_what_is_being_done(sweep, capsys, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert run("--logs", sweep, "--target", "7B", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "ok"  # bars are on stderr alone
    assert ("Reading logs" in err) == terminal


def test_the_answer_moves_with_constants_as_it_does_when_they_are_changed(sweep_runs, monkeypatch):
    two = {name: method.CONSTANTS[name] for name in ("drop", "law_scatter")}
    monkeypatch.setattr(method, "CONSTANTS", two)
    runs, laws, seen = sweep_runs(sizes=LARGE), registered("laws"), []
    request = PredictionRequest(params=7 * 10**9, bootstraps=50, sensitivity=True)
    found = predict(runs, request, laws, lambda *step: seen.append(step))
    assert [(one.constant, one.value) for one in found.sensitivity] == [("drop", 0.05), ("law_scatter", 0.15)]
    drop, scatter = found.sensitivity
    # A collapse is a greater loss: it comes later.
    assert drop.halved < found.recommendation.frequency < drop.doubled
    plain = replace(request, sensitivity=False)
    for name, value, amount in (("law_scatter", 0.3, scatter.doubled), ("drop", 0.025, drop.halved)):
        with method.changed(name, value):
            assert predict(runs, plain, laws).recommendation.frequency == amount
    assert [constant.value for constant in two.values()] == [0.05, 0.15]
    # How far it is, on the way.
    stages = ["Fitting curves", "Resampling sizes", "Weighing laws", "Changing constants"]
    assert list(dict.fromkeys(what for what, _, _ in seen if what in stages)) == stages
    for what in stages:
        of = next(of for name, _, of in seen if name == what)
        assert [done for name, done, _ in seen if name == what][:of] == list(range(of))
    lines = sensitivity_lines(found)
    assert len(lines) == 2
    assert all(short(round_down(one.doubled)) in line for one, line in zip(found.sensitivity, lines, strict=True))


def test_without_a_recommendation_no_configuration_is_written(thin, tmp_path, capsys):
    config = tmp_path / "kis.yaml"
    assert run("--logs", thin, "--target", "7B", "--write-config", str(config)) == 1
    assert not config.exists()
    assert "Did not write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--plot", "x.gif"], "--plot x.gif: found .gif, expected one of .png, .svg, .pdf"),
        (["--plot", "gone/x.png"], "no folder gone"),
        (["--report", "FOLDER"], "a folder, expected the name of a file"),
        (["--write-config", "SWEEP"], "a file of that name, expected a new one"),
        (["--map", "params"], "'params', expected FIELD=PATH"),
        (["--map", "parms=n"], "Did you mean 'params'?"),
        (["--axis", "size"], "'size' is not one of 'auto', 'frequency', 'share'"),
        (["--next", "-1"], "--next"),
        (["--max-loss-rise", "0"], "between 0 and 100"),
    ],
)
def test_unwritable_outputs_are_refused_at_the_start(sweep, tmp_path, capsys, args, said):
    args = [{"SWEEP": sweep, "FOLDER": str(tmp_path)}.get(arg, arg) for arg in args]
    assert main(["--logs", sweep, "--target", "7B", *args]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""
    assert "Read" not in err


def test_pictures_without_matplotlib_name_the_extra(sweep, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("kis_predict.options.find_spec", lambda name: None)
    assert main(["--logs", sweep, "--target", "7B", "--report", str(tmp_path / "a.html")]) == 2
    assert "pip install 'kis-plugin[plot]'" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion(shell):
    code = (
        "import sys; sys.argv = ['kis-predict']; from kis_predict.cli import command; command(prog_name='kis-predict')"
    )
    environment = {**os.environ, "_KIS_PREDICT_COMPLETE": f"{shell}_source"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0
    assert "_KIS_PREDICT_COMPLETE" in done.stdout


def test_charts_that_cannot_be_drawn_are_said_to_be_missing(sweep, capsys, monkeypatch):
    monkeypatch.setattr("kis_plugin.storage.terminal_chart.find_spec", lambda name: None)
    assert run("--logs", sweep, "--target", "7B", "--chart") == 0
    assert "No charts: they need pip install 'kis-plugin[plot]'" in capsys.readouterr().err


def test_a_full_disk_is_one_message(sweep):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "kis_predict.cli", "--logs", sweep, "--target", "7B", "--bootstraps", "50"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert "standard output: found No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_narrow_terminal_gets_no_number_cut_short(sweep, capsys, monkeypatch):
    outputs = []
    for columns in ("80", "40"):
        monkeypatch.setenv("COLUMNS", columns)
        run("--logs", sweep, "--target", "7B")
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_what_is_left_out_on_the_way_is_a_warning(sweep, tmp_path, capsys):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "kis.jsonl").write_text('{"type":"ru')
    assert run("--logs", str(tmp_path), "--target", "7B", "--json") == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert warnings[0].startswith("Left out 1 log (killed in the first line)")


@pytest.mark.parametrize(("args", "shown"), [([], False), (["--chart"], True), (["--no-chart"], False)])
def test_pipes_get_charts_only_on_request(sweep, capsys, args, shown):
    pytest.importorskip("plotille")
    run("--logs", sweep, "--target", "7B", *args)
    assert ("against N" in capsys.readouterr().out) == shown


def test_a_closed_pipe_is_no_error(sweep):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "kis_predict.cli", "--logs", sweep, "--target", "7B", "--bootstraps", "50"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.returncode == 0
    assert "Error" not in done.stderr


@pytest.mark.parametrize("name", ["runs.csv", "pipe.html"])
def test_a_report_never_takes_the_place_of_something_else(tmp_path, name, capsys):
    target = tmp_path / name
    if name.endswith(".html"):
        os.mkfifo(target)
    else:
        target.write_text("params,tokens\n")
    assert main(["--logs", str(tmp_path), "--target", "7B", "--report", str(target)]) == 2
    assert f"--report {target}: found" in capsys.readouterr().err
    assert target.is_fifo() or target.read_text() == "params,tokens\n"
