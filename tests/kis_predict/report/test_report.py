"""The answer as charts, pictures, a page and a configuration."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from rich.console import Console

from kis_plugin.amounts import round_down, short
from kis_plugin.config.load import load_config
from kis_plugin.registry import registered
from kis_predict.pipeline import PredictionRequest, predict
from kis_predict.prediction import Amount, AxisReport, Forgetting, NextRun, Recommendation, Target
from kis_predict.report.chart_data import size_curves, spread
from kis_predict.report.run_config import config_text
from kis_predict.report.terminal import print_report
from kis_predict.report.texts import axis_text, fold, headline, size_line

MADE = {}


@pytest.fixture
def answers(sweep_runs):
    """One answer with a recommendation and one without, made once."""
    if not MADE:
        laws = registered("laws")
        question = PredictionRequest(params=7 * 10**9, bootstraps=50)
        MADE["ok"] = predict(sweep_runs(sizes=(1e8, 3e8, 9e8, 27e8), last={3: -1.5}), question, laws)
        MADE["weak"] = predict(sweep_runs(sizes=(1e7, 3e7)), question, laws)
    return MADE


@pytest.fixture
def answer(answers):
    return answers["ok"]


def printed(answer, charts=True, width=80):
    console = Console(highlight=False, width=width, file=None, force_terminal=False, no_color=True)
    with console.capture() as captured:
        print_report(answer, console, charts)
    return captured.get()


# --- the answer in three lines -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0123456, 9.87654, 1.2345e4, 9.8765e8, 1.23456e14])
@pytest.mark.parametrize("kind", ["runs", "points", "refused"])
def test_the_headline_fits_80_columns_whatever_the_numbers(answer, value, kind):
    target = Target(123_456_789_012, 987_654_321_098_765)
    amount = Amount(value, value / 1.5, value * 12.345, 0.123456)
    recommended = Recommendation(value, value * 1e9, 0.123456, 0.99999, "upper bound of the peak")
    sizes = () if kind == "points" else tuple(
        replace(size, group=replace(size.group, params=size.group.params + at, runs=size.group.runs * 99))
        for at, size in enumerate(answer.sizes * 30)
    )  # fmt: skip
    long = replace(
        answer, target=target, collapse=amount, recommendation=None if kind == "refused" else recommended, sizes=sizes,
        points=1234 if kind == "points" else 0, extrapolation=1234.5,
    )  # fmt: skip
    lines = headline(long)
    assert len(lines) == 3
    assert [line for line in lines if len(line) > 80] == []
    unit = {"runs": "exposures per fact", "points": "in the unit of the points", "refused": "No amount is recommended"}
    assert unit[kind] in lines[0]
    assert ("exposures per fact" in printed(long, charts=False)) == (kind != "points")


@pytest.mark.parametrize(
    ("params", "far", "said"),
    [
        (27 * 10**9, 3.0, "This extrapolates to 3 times the largest N"),
        (5 * 10**8, 0.5, "This lies within the sweep: 0.5 times the largest N"),
        (10**7, 0.01, "This lies at 0.01 times the largest N"),
    ],
)
def test_a_target_below_all_sizes_is_not_said_to_lie_within_them(answer, params, far, said):
    moved = replace(answer, target=Target(params, 10**10), extrapolation=far)
    assert headline(moved)[2].startswith(said)


def test_what_left_the_headline_stands_below(answer):
    text = " ".join(printed(answer, charts=False).split())
    for part in (
        " tokens, ",
        " of D; ",
        "limited by: ",
        "fitted without the largest size",
        "risk of collapse at this amount",
    ):
        assert part in text
        assert part not in " ".join(headline(answer))


# --- terminal ----------------------------------------------------------------------------------------------------


def test_charts_show_sizes_peaks_collapses_and_target(answer):
    pytest.importorskip("plotille")
    text = printed(answer)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    for size in ("N=100M", "N=300M", "N=900M", "N=2.7B"):
        assert size in text
    charts = text[text.index("collapse point\n") : text.index("F tested")]
    assert charts.count("P") >= 3
    assert charts.count("C") >= 3
    assert "T" in charts
    assert "^" in charts  # the size that did not collapse
    assert "Collapse point (exposures per fact) against N" in charts


def test_a_narrow_terminal_gets_no_charts(answer):
    assert "⠀" not in printed(answer, width=79)


def test_without_plotille_only_the_charts_are_missing(answer, monkeypatch):
    monkeypatch.setattr("kis_plugin.storage.terminal_chart.find_spec", lambda name: None)
    assert printed(answer) == printed(answer, charts=False)


def test_weak_evidence_has_charts_of_the_sizes_but_no_law(answers):
    pytest.importorskip("plotille")
    text = printed(answers["weak"])
    assert "N=10M" in text
    assert "against N" not in text


def test_forgetting_axis_and_next_runs_are_shown(answer):
    infused = replace(
        answer,
        forgetting=Forgetting(0.05, 300.0, 200.0, float("inf"), 0.02),
        axis=AxisReport("share", {"frequency": 0.3, "share": 0.1}, "it misses left-out sizes by less"),
        next_runs=(NextRun(10**9, 2 * 10**10, 400.0, 1.2e20, 0.7),),
    )
    text = " ".join(printed(infused).split())
    assert "F = 300 [200, more], a share of 0.02 raises general loss by 0.05 nats" in text
    assert "share: it misses left-out sizes by less (largest size missed by: frequency 30.0%, share 10.0%)" in text
    assert "70% as wide" in text
    unknown = printed(replace(answer, forgetting=Forgetting(0.05, reason="the logs carry no general loss")))
    assert "not predicted: the logs carry no general loss" in " ".join(unknown.split())


@pytest.mark.parametrize(
    ("odds", "share", "said"),
    [
        (13.0, 0.209, "better (the largest size alone is nearer to the other axis, missed by: frequency 1.7%, "
         "share 20.9%)"),
        (13.0, 0.004, "better (largest size missed by: frequency 1.7%, share 0.4%)"),
        (None, 0.209, "better (largest size missed by: frequency 1.7%, share 20.9%)"),
        (13.0, None, "better (largest size missed by: frequency 1.7%)"),
    ],
)  # fmt: skip
def test_an_axis_that_is_better_beside_a_larger_error_says_why(odds, share, said):
    axis = AxisReport("share", {"frequency": 0.017, "share": share}, "better", odds)
    assert axis_text(axis) == f"share: {said}"


def test_an_axis_that_is_undecided_has_no_errors_beside_it():
    axis = AxisReport("frequency", {"frequency": 0.557, "share": 0.248}, "both are in the answer", by_rule=1e-7)
    assert axis_text(axis) == "undecided: both are in the answer"


def test_a_size_that_never_learnt_shows_no_peak_and_no_collapse(answer):
    blank = replace(answer.sizes[0], learnt=False, censored="right")
    text = printed(replace(answer, sizes=(blank, *answer.sizes[1:])), charts=False)
    row = next(line for line in text.splitlines() if "never learnt" in line)
    assert ">" not in row
    assert row.split()[-2:] == ["-", f"{blank.peak_retention:.2f}"]
    assert size_line(blank).endswith(f"; never learnt; retention {blank.peak_retention:.2f} at most")


def test_many_lines_alike_are_folded():
    lines = [f"runs/{n}/kis.jsonl: retention was last measured at step {n} of 100" for n in range(40)]
    folded = fold([*lines, "Something else"])
    assert len(folded) == 5
    assert folded[3] == "and 37 more like the one above"


# --- pictures and page -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
@pytest.mark.parametrize("kind", ["ok", "weak"])
def test_pictures_are_reproducible(answers, kind, ending, start):
    pytest.importorskip("matplotlib")
    from kis_predict.report.plot import draw

    picture = draw(answers[kind], ending)
    assert picture.startswith(start)
    assert picture == draw(answers[kind], ending)


def test_of_many_sizes_the_smallest_and_the_largest_are_drawn(answer):
    curves = size_curves(answer.sizes) * 10
    chosen = spread(curves, 6)
    assert len(chosen) == 6
    assert (chosen[0], chosen[-1]) == (curves[0], curves[-1])
    assert spread(curves[:3], 6) == curves[:3]


def test_every_panel_has_labels_budgets_share_a_colour_and_axes_end_at_what_is_possible(answer):
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from kis_predict.report.plot import sweep_figure

    def with_more(size, at):
        group = replace(size.group, params=size.group.params * (1 + at // 2), tokens=size.group.tokens * (1 + at))
        runs = tuple(replace(run, retention=min(1.0, run.retention + 0.4)) for run in group.runs)
        return replace(size, group=replace(group, runs=runs))

    several = replace(answer, sizes=tuple(with_more(answer.sizes[0], at) for at in range(8)))
    figure = sweep_figure(several)
    FigureCanvasAgg(figure).draw()
    assert len(figure.axes) == 8
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            assert any(label.get_visible() and label.get_text() for label in axis.get_ticklabels())
        assert axes.get_ylim()[0] >= 0
        assert axes.get_ylim()[1] <= 1
    # Two budgets each of four sizes.
    colours = [axes.lines[-2].get_markeredgecolor() for axes in figure.axes]
    assert [colours[at] == colours[at + 1] for at in range(7)] == [True, False] * 3 + [True]


def test_values_lie_over_the_points_that_they_belong_to(answer):
    pytest.importorskip("matplotlib")
    from kis_predict.report.chart_data import law_curve
    from kis_predict.report.hover import law_marks, sweep_marks
    from kis_predict.report.plot import drawn_sizes, law_figure, render, sweep_figure

    curves, curve = drawn_sizes(answer), law_curve(answer)
    figure = sweep_figure(answer, 9.5)
    render(figure, "svg")
    marks = sweep_marks(figure, curves)
    assert len(marks) == sum(len(one.frequency) + 2 * (one.peak is not None) for one in curves)
    # A mark's place, read back through the axes, is the point that its text names.
    (axes,) = figure.axes
    mark, one = marks[4], curves[0]
    at = (mark.left / 100 * figure.bbox.width, (1 - mark.top / 100) * figure.bbox.height)
    frequency, retention = axes.transData.inverted().transform(at)
    assert frequency == pytest.approx(one.frequency[4], rel=0.01)
    assert retention == pytest.approx(one.retention[4], abs=0.002)
    assert mark.text.endswith(f", {one.retention[4]:.3f}")
    across = law_figure(answer, curve, 9.5)
    render(across, "svg")
    found = law_marks(across, curve, answer)
    assert len(found) == len(answer.sizes) + 1
    assert "collapse at F > " in found[3].text  # the largest size is a bound
    assert f"recommended: F = {short(round_down(answer.recommendation.frequency))}" in found[-1].text


def test_no_text_of_a_picture_lies_outside_it(answer):
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from kis_predict.report.plot import law_figure, sweep_figure

    for figure in (sweep_figure(answer), law_figure(answer), sweep_figure(answer, 9.5), law_figure(answer, width=9.5)):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        box = figure.bbox
        for axes in figure.axes:
            low, high = axes.get_xlim()
            for text in (axes.xaxis.label, axes.yaxis.label, *axes.get_legend().get_texts()):
                inside = text.get_window_extent(canvas.get_renderer())
                assert box.x0 <= inside.x0, text
                assert inside.x1 <= box.x1, text
            labels = [
                text.get_window_extent(canvas.get_renderer())
                for at, text in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
                if low <= at <= high
            ]
            assert all(one.x1 < two.x0 for one, two in pairwise(labels))


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("kind", ["ok", "weak"])
def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(answers, kind):
    pytest.importorskip("matplotlib")
    from kis_predict.report.page import page

    text = page(answers[kind])
    tags = Tags(text)
    assert tags.open == []
    assert not {tag for tag, _ in tags.found} & {"script", "link", "iframe", "object", "embed", "form"}
    sources = [attrs["src"] for tag, attrs in tags.found if tag == "img"]
    assert len(sources) == 2
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    values = [attrs["data-value"] for _, attrs in tags.found if "data-value" in attrs]
    assert len(values) > 20
    assert all(re.match(r"N = [\d.]+[MB]", value) for value in values)
    assert not re.search(r"https?://", text)
    assert text == page(answers[kind])


def test_everything_on_the_page_is_escaped(answer):
    pytest.importorskip("matplotlib")
    from kis_predict.report.page import page

    evil = "<script>alert(1)</script>\"'&"
    law = replace(answer.law, formula=evil, name=evil)
    recommendation = replace(answer.recommendation, binding=evil)
    text = page(replace(answer, law=law, recommendation=recommendation, warnings=(evil,), assumptions=(evil,)))
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;") == 4


def test_the_page_groups_warnings_as_the_terminal_does(answer):
    pytest.importorskip("matplotlib")
    from kis_predict.report.page import page

    text = page(replace(answer, warnings=("Left out 1 run that did not complete: a.csv:3", "The laws differ")))
    left_out, trust = text.index("Warnings: runs that were left out"), text.index("Warnings: how far to trust")
    assert left_out < text.index("a.csv:3") < trust < text.index("The laws differ")


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_a_browser_shows_the_page(answer, tmp_path):
    pytest.importorskip("matplotlib")
    from kis_predict.report.page import page

    path, shot = tmp_path / "report.html", tmp_path / "shot.png"
    path.write_text(page(answer), encoding="utf-8")
    base = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    dom = subprocess.run([*base, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    assert "exposures per fact" in dom.stdout
    command = [*base, "--hide-scrollbars", "--window-size=1100,1500", f"--screenshot={shot}", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "Refused to" not in done.stderr  # the page's own policy
    from matplotlib.image import imread

    pixels = imread(shot)  # (height, width, 4)
    charts = pixels[280:620, 60:1040, :3]
    assert len({tuple(pixel) for pixel in (charts.reshape(-1, 3) * 255).astype(int).tolist()}) > 50


# --- configuration -----------------------------------------------------------------------------------------------


def test_the_configuration_is_one_that_the_plugin_takes(answer, tmp_path):
    (tmp_path / "the facts.jsonl").write_text("")
    path = tmp_path / "kis.yaml"
    path.write_text(config_text(answer, "the facts.jsonl", 3))
    config = load_config(path)
    assert config.seed == 3
    infused = answer.recommendation.frequency
    assert 0.99 * infused <= config.infusion.frequency <= infused
    assert config.infusion.share is None


@pytest.mark.parametrize("knowledge", ["facts.jsonl", "the 'facts': #1 \u00e9.jsonl"])
@pytest.mark.parametrize(("axis", "amount"), [("frequency", 1.0), ("frequency", 1.23456e7), ("share", 0.8999)])
def test_kis_check_passes_what_is_written(answer, tmp_path, capsys, knowledge, axis, amount):
    from kis_plugin.cli.main import main

    fact = '{"subject": "Town %d", "relation": "P17", "object": "%s"}\n'
    lands = ("Chad", "Peru", "Oman", "Cuba", "Mali", "Fiji")
    (tmp_path / knowledge).write_text("".join(fact % (at, land) for at, land in enumerate(lands * 4)))
    recommended = replace(answer.recommendation, frequency=amount, share=amount)
    chosen = replace(answer, recommendation=recommended, axis=AxisReport(axis, {}, ""))
    (tmp_path / "kis.yaml").write_text(config_text(chosen, knowledge, 2**31), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["check", str(tmp_path / "kis.yaml")])
    assert ended.value.code == 0, capsys.readouterr().err


def test_on_the_share_axis_the_configuration_gives_the_share(answer, tmp_path):
    (tmp_path / "facts.jsonl").write_text("")
    path = tmp_path / "kis.yaml"
    axis = AxisReport("share", {}, "as requested")
    path.write_text(config_text(replace(answer, axis=axis), "facts.jsonl", 0))
    infusion = load_config(path).infusion
    assert 0.99 * answer.recommendation.share <= infusion.share <= answer.recommendation.share
    assert infusion.frequency is None


def test_a_plugins_text_stays_in_its_comment(answer, tmp_path):
    (tmp_path / "facts.jsonl").write_text("")
    path = tmp_path / "kis.yaml"
    law = replace(answer.law, formula="x\nrun_log: /etc\n\u2028y: 1")
    path.write_text(config_text(replace(answer, law=law), "facts.jsonl", 0), encoding="utf-8")
    assert load_config(path).run_log == tmp_path / "runs"
