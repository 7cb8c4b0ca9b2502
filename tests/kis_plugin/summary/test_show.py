"""``kis show``: text of 80 columns, curves, a page that a browser shows, a picture, JSON, and a run that goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from dataclasses import asdict
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from kis_plugin.cli.main import main
from kis_plugin.run.log import LOG_NAME, End, Retention, RunLogWriter
from kis_plugin.summary.follow import follow
from tests.world.run_logs import RISES, write_log

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "<script>alert(1)</script>\x1b[31m\u202e$x_1$"


def kis(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_one_run_is_shown_whole_within_80_columns(rising, monkeypatch):
    monkeypatch.chdir(rising.parents[1])
    outcome = kis("show", "runs/rising")
    assert outcome.exit_code == 0, outcome.output
    lines = outcome.stdout.splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert lines[1].split() == ["0", "0.250", "[0.210,", "0.295]", "0.250", "0.250", "4.000"]
    assert lines[3].split() == ["400", "0.800", "[0.758,", "0.836]", "0.900", "0.260", "3.100"]
    for line in (
        "run rising",
        "  state       completed at step 400",
        "  infused     100 facts, each exactly 64 times, 0.1 of D",
        "  held-out    0.250 -> 0.800 [0.758, 0.836], chance 0.250, 400 probes",
        "  difference  +0.000 -> +0.540 [+0.478, +0.594], held-out minus control",
        "  forgotten   loss on eval 4.000 -> 3.100",
        "  evaluation  3 evaluations in 3 s, 3.0% of the run's 1.67 min",
        "  log         runs/rising",
        "  next        kis show runs/rising --html run.html",
    ):
        assert line in lines
    pytest.importorskip("plotille")
    assert any("⠉" in line for line in lines)


def test_several_runs_stand_side_by_side(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for at in range(8):
        write_log(
            tmp_path / "runs" / f"r{at}", {**RISES, "held_out": [0.25, 0.3, 0.3 + at / 15]}, run={"params": 10**6 + at}
        )
    outcome = kis("show", "runs")
    lines = outcome.stdout.splitlines()
    assert max(map(cell_len, lines)) <= 80
    row = next(line for line in lines if line.startswith(" 8 "))
    assert row.split() == ["8", "1M", "64", "0.10", "0.767", "+0.51", "[+0.44,", "+0.56]", "retained"]
    assert "  8  runs/r7" in lines
    assert lines[-1] == "Next: kis predict --logs runs --target 7B"


def test_json_holds_what_the_text_says(rising):
    found = json.loads(kis("show", rising, "--json").stdout)
    (run,) = found["runs"]
    assert (found["status"], run["state"], run["verdict"]["name"], run["miscount"]) == (
        "ok",
        "completed",
        "retained",
        None,
    )
    last = run["evaluations"][-1]
    assert (last["step"], last["series"]["held_out"]["accuracy"]) == (400, 0.8)
    assert last["series"]["above_control"]["accuracy"] == pytest.approx(0.54)
    assert run["losses"] == {"eval": [{"step": 0, "loss": 4.0}, {"step": 200, "loss": 3.2}, {"step": 400, "loss": 3.1}]}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing"], "nothing: found no such file or folder, expected a kis.jsonl"),
        (["."], "found no run log, expected"),
        (["torn"], f"torn/{LOG_NAME}:1"),
        (["logs.tar.xz"], "logs.tar.xz: found an archive of run logs"),
        (["runs/rising", "--plot", "x.gif"], "found the ending '.gif', expected .svg or .png or .pdf"),
        (["runs/rising", "--html", "no/x.html"], "--html no/x.html"),
        (["runs/rising", "runs/other", "--follow"], "found 2 runs, expected one run"),
    ],
)
def test_bad_input_is_refused(rising, monkeypatch, arguments, says):
    monkeypatch.chdir(rising.parents[1])
    if arguments[0] != ".":
        write_log(rising.with_name("other"), RISES)
        (rising.parents[1] / "torn").mkdir()
        (rising.parents[1] / "torn" / LOG_NAME).write_text('[1]\n{"type": "end"}\n')
        with tarfile.open("logs.tar.xz", "w:xz") as archive:
            archive.add("torn")
    else:
        shutil.rmtree("runs")
    outcome = kis("show", *arguments)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert says in outcome.stderr


def test_a_run_that_goes_on_is_followed_to_its_end(tmp_path):
    folder = write_log(tmp_path / "r", {"held_out": [0.25, 0.5]}, end=False)
    lines: list[str] = []

    def train(seconds):
        """The run goes on while the follower waits."""
        assert not any("verdict" in line for line in lines)
        writer = RunLogWriter(folder)
        writer.write(Retention(step=800, tokens=1, probe="held_out", accuracy=0.75, n=400))
        writer.write(End(status="completed", step=800, tokens=1))
        writer.close()

    follow(folder / LOG_NAME, lines.append, train)
    assert [line.split()[:2] for line in lines[1:4]] == [["0", "0.250"], ["400", "0.500"], ["800", "0.750"]]
    assert any(line.startswith("  verdict     Retained") for line in lines)


def test_the_same_logs_give_the_same_page_and_picture(rising, tmp_path):
    pytest.importorskip("matplotlib")
    for ending in ("html", "svg"):
        paths = [tmp_path / f"{name}.{ending}" for name in "ab"]
        option = "--html" if ending == "html" else "--plot"
        assert [kis("show", rising, option, path).exit_code for path in paths] == [0, 0]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_run_that_has_just_begun_is_shown(tmp_path):
    log = write_log(tmp_path / "r", {}, end=False)
    page = tmp_path / "p.html"
    outcome = kis("show", log, "--html", page)
    assert outcome.exit_code == 0
    assert "  state       unfinished" in outcome.stdout.splitlines()
    assert "64 exposures of each planned" in outcome.stdout
    assert "Not measured" in page.read_text()
    pytest.importorskip("matplotlib")
    outcome = kis("show", log, "--plot", tmp_path / "p.svg")
    assert outcome.exit_code == 2
    assert "found no retention and no loss in the logs" in outcome.stderr
    assert not (tmp_path / "p.svg").exists()


def test_one_evaluation_is_enough_for_a_picture(tmp_path):
    log = write_log(tmp_path / "r", {"held_out": [0.5]}, losses=[3.0], end=False)
    outcome = kis("show", log, "--html", tmp_path / "p.html")
    assert outcome.exit_code == 0
    assert (tmp_path / "p.html").read_text().count('class="at"') == 2


def test_hostile_names_stay_text(tmp_path):
    log = write_log(tmp_path / "r", RISES, losses=[4.0, 3.0], run={"run_id": EVIL}, end=False) / LOG_NAME
    log.write_text(log.read_text().replace('"split": "eval"', f'"split": {json.dumps(EVIL)}'))
    page, picture = tmp_path / "p.html", tmp_path / "p.svg"
    outcome = kis("show", log, "--html", page)
    assert outcome.exit_code == 0
    assert "\x1b" not in outcome.stdout
    assert "\u202e" not in outcome.stdout
    text = page.read_text(encoding="utf-8")
    assert not {"<script", "\x1b", "\u202e"} & {text[at : at + 7] for at in range(len(text))} | (
        {*text} & {"\x1b", "\u202e"}
    )
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m\\u202e$x_1$" in text
    pytest.importorskip("matplotlib")
    assert kis("show", log, "--plot", picture).exit_code == 0
    assert EVIL[:9] not in "".join(node.tag for node in ElementTree.parse(picture).iter())


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_a_browser_shows_the_page_and_the_values_of_a_point(rising, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    path = tmp_path / "run.html"
    assert kis("show", rising, "--html", path).exit_code == 0
    shots = []
    for target in ("", "#c0-0-1"):  # a link to a point shows what the pointer shows
        shot = tmp_path / f"shot{len(shots)}.png"
        command = [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
            "--hide-scrollbars", "--window-size=1100,1200", f"--screenshot={shot}", path.as_uri() + target,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert "Refused to" not in done.stderr  # the page's own policy
        shots.append((imread(shot)[..., :3] * 255).astype(int))
    colours = {tuple(pixel) for pixel in shots[0].reshape(-1, 3).tolist()}
    assert {(0x1F, 0x6F, 0xEB), (0x1A, 0x7F, 0x37)} <= colours  # held-out and seen
    tip = (shots[0] != shots[1]).any(axis=2)
    assert 2000 < tip.sum() < 20_000  # one box with the values of one point


def test_every_field_of_a_point_is_in_the_json(rising):
    from kis_plugin.summary.history import Point

    found = json.loads(kis("show", rising, "--json").stdout)["runs"][0]["evaluations"][0]["series"]["seen"]
    assert set(found) == set(asdict(Point(0, 0, 0, 0, 1, 1))) - {"worth", "baseline"}


@pytest.mark.parametrize(("n", "code"), [(2**63 - 1, 0), (10**300, 2), (1e300, 2)])
def test_numbers_that_no_run_has_are_shown_or_named(tmp_path, n, code):
    path = tmp_path / "kis.jsonl"
    run = {"type": "run", "schema": 2, "run_id": "a", "params": 10**6, "tokens": 10**7, "frequency": 4, "facts": 9}
    probed = {"type": "retention", "step": 1, "tokens": 9, "probe": "held_out", "n": n, "correct": n, "accuracy": 1.0}
    path.write_text(json.dumps(run) + "\n" + json.dumps(probed) + "\n")
    done = CliRunner().invoke(main, ["show", str(path)])
    assert done.exit_code == code
    assert code == 0 or "kis.jsonl:2 n: found 1" in done.stderr
