"""The public Python interface: what scripts and notebooks import."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser

import pytest

import kis_predict
import kis_sweep
from kis_plugin.errors import KISError

FAST = {"bootstraps": 50}


@pytest.fixture
def sweep(sweep_runs, write_csv):
    return write_csv(sweep_runs())


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("package", [kis_predict, kis_sweep], ids=lambda package: package.__name__)
class TestThePackage:
    def test_every_declared_name_is_there(self, package):
        for name in package.__all__:
            assert getattr(package, name).__doc__, name
        assert set(package.__all__) <= set(dir(package))

    def test_importing_it_imports_nothing_heavy(self, package):
        code = f"import sys, {package.__name__}; print(sorted({{'numpy', 'scipy', 'rich', 'yaml'}} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    def test_an_unknown_name_is_an_attribute_error(self, package):
        with pytest.raises(AttributeError, match=r"has no attribute 'predicts'"):
            package.predicts  # noqa: B018


def test_predict_stays_a_function_whatever_is_imported_first():
    code = "import kis_predict.pipeline, kis_predict.cli; from kis_predict import predict; print(callable(predict))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_runs_are_a_sequence_with_notes(sweep):
    runs = kis_predict.read_runs(sweep)
    assert len(runs) == len(list(runs)) == 44
    assert runs[0].params == 10**7
    assert isinstance(runs[:3], kis_predict.Runs)
    assert runs.notes == ()


def test_paths_may_be_several(sweep, write_log):
    log = write_log("a", {"type": "end", "status": "completed", "step": 1, "tokens": 1})
    assert len(kis_predict.read_runs([sweep, log])) == 45


def test_the_answer_is_that_of_the_command(sweep, capsys):
    from kis_predict.cli import main

    answer = kis_predict.predict(kis_predict.read_runs(sweep), target="7B", tokens="140B", facts=1000, **FAST)
    arguments = ["--target", "7B", "--tokens", "140B", "--facts", "1K", "--bootstraps", "50", "--json"]
    assert main(["--logs", str(sweep), *arguments]) == 0
    assert json.loads(capsys.readouterr().out) == answer.to_dict()


def test_runs_made_by_hand_are_predicted_from(sweep_runs):
    assert kis_predict.predict(sweep_runs(), target=7e9, **FAST).status == "ok"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target": "huge"}, "predict(target=...): found 'huge', expected an amount such as 7B"),
        ({"target": None}, "predict(target=...): found None"),
        ({"target": float("nan")}, "predict(target=...): found nan"),
        ({"target": 7e9, "facts": "some"}, "predict(facts=...): found 'some'"),
        ({"target": 7e9, "confidense": 0.8}, "Did you mean 'confidence'?"),
        (
            {"target": 7e9, "confidence": 1.2},
            "PredictionRequest confidence: found 1.2, expected a number between 0 and 1",
        ),
        ({"target": 7e9, "bootstraps": 3}, "PredictionRequest bootstraps: found 3, expected a whole number from 50"),
        ({"target": 7e9, "axis": "either"}, "expected one of auto, frequency, share"),
    ],
)
def test_an_option_that_is_none_is_named(sweep_runs, options, said):
    with pytest.raises(KISError) as caught:
        kis_predict.predict(sweep_runs(), **options)
    assert said in str(caught.value)


def test_a_notebook_shows_the_answer(sweep):
    answer = kis_predict.predict(kis_predict.read_runs(sweep), target="7B", **FAST)
    tags = Tags(shown := answer._repr_html_())
    assert not tags.open
    assert tags.seen.count("img") == 2
    assert "script" not in tags.seen
    assert "exposures per fact" in shown
    assert "<html" not in shown


def test_a_notebook_shows_what_is_missing(sweep_runs):
    answer = kis_predict.predict(sweep_runs(sizes=(1e7,)), target="7B", **FAST)
    assert answer.status == "insufficient"
    assert "evidence is too weak" in answer._repr_html_()


def test_a_notebook_shows_runs_and_escapes_their_names(sweep_runs):
    runs = kis_predict.Runs(tuple(sweep_runs(source="<b>bold</b>")), ("Left out <i>1</i> run",))
    tags = Tags(shown := runs._repr_html_())
    assert not tags.open
    assert "<b>bold" not in shown
    assert "<i>1" not in shown
    assert "and 24 more" in shown


def test_frames_have_a_row_for_each_size_and_each_run(sweep):
    pytest.importorskip("pandas")
    runs = kis_predict.read_runs(sweep)
    answer = kis_predict.predict(runs, target="7B", **FAST)
    assert list(answer.to_frame()["params"]) == [10**7, 3 * 10**7, 9 * 10**7, 27 * 10**7]
    frame = runs.to_frame()
    assert len(frame) == 44
    assert frame["retention"].between(0, 1).all()


def test_without_pandas_a_frame_says_what_to_install(monkeypatch, sweep_runs):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(KISError, match=r"found no pandas.*pip install pandas"):
        kis_predict.Runs(tuple(sweep_runs())).to_frame()
