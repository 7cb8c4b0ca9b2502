"""kis demo: what it needs is in the wheel, and it ends in the prediction."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kis_plugin.cli.main import main
from kis_plugin.storage import shipped_data
from kis_plugin.storage.shipped_data import shipped
from kis_sweep import demo

ROOT = Path(__file__).parents[2]


def test_everything_that_it_uses_is_put_into_the_wheel():
    tomllib = pytest.importorskip("tomllib")
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    taken = wheel["force-include"]
    for source, target in taken.items():
        assert (ROOT / source).is_file()
        assert target == f"kis_plugin/data/shipped/{source}"
    code = (Path(demo.__file__).read_text("utf-8"), Path(shipped_data.__file__).read_text("utf-8"))
    named = {name for text in code for name in re.findall(r'"((?:examples|studies)/[\w./]+)"', text)}
    assert named == {"examples/quickstart/kis.yaml", "examples/data/text.txt.xz", "studies/law/logs.tar.xz"}
    assert named <= taken.keys()
    # kis.yaml names the other two.
    assert {"examples/quickstart/facts.jsonl", "examples/quickstart/templates.yaml"} <= taken.keys()


def test_an_installed_wheel_comes_before_the_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped_data, "_WHEEL", tmp_path)
    assert shipped("examples/data/text.txt.xz") == ROOT / "examples/data/text.txt.xz"
    (tmp_path / "examples/data").mkdir(parents=True)
    (tmp_path / "examples/data/text.txt.xz").touch()
    assert shipped("examples/data/text.txt.xz") == tmp_path / "examples/data/text.txt.xz"


def test_without_the_extra_it_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name == "transformers" else object())
    done = CliRunner().invoke(main, ["demo"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        "kis: kis demo: found no package transformers, expected torch and transformers, which train its models. "
        "Install the extra: pip install 'kis-plugin[hf]'.\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("codes", "ends"), [([0, 0, 0], 0), ([0, 0, 1, 0], 0), ([2], 2), ([0, 1], 1), ([0, 0, 2], 2)])
def test_it_ends_in_the_prediction_or_where_a_command_failed(codes, ends, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    ran = []

    def run(*words):
        ran.append(words)
        return codes[len(ran) - 1]

    monkeypatch.setattr(demo, "_run", run)
    done = CliRunner().invoke(main, ["demo", "--out", "here"])
    assert done.exit_code == ends
    assert len(ran) == len(codes)
    names = [" ".join(words[:3]) for words in ran]
    predicts = ["kis-predict --logs here/sweep/runs", f"kis-predict --logs {demo.os.path.relpath(ROOT)}/studies/law"]
    expected = ["kis sweep plan", "kis sweep run", *predicts]
    assert all(found.startswith(wanted) for found, wanted in zip(names, expected, strict=False)), names


def test_a_second_time_it_does_not_plan(monkeypatch, tmp_path):
    (tmp_path / "out" / "sweep").mkdir(parents=True)
    ran = []
    monkeypatch.setattr(demo, "_run", lambda *words: ran.append(words[:3]) or 0)
    assert CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "out")]).exit_code == 0
    assert ran[0][:3] == ("kis", "sweep", "run")


def test_a_command_runs_as_a_user_would_run_it(capfd):
    assert demo._run("kis", "--version") == 0
    assert demo._run("kis-predict", "--nothing") == 2
    shown = capfd.readouterr()
    assert "$ kis --version" in shown.out
    assert sys.executable not in shown.out
