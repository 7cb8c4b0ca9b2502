"""The commands by which the studies' figures were made give them again from the logs that ship."""

from __future__ import annotations

import csv
import re
import shlex
import tarfile
from functools import cache

import pytest

from kis_plugin.run.log import LOG_NAME
from tests.test_docs import ROOT, run

PAGES = [
    ROOT / "docs" / "explanation" / "evidence.md",
    ROOT / "docs" / "explanation" / "law-study.md",
    ROOT / "docs" / "explanation" / "experiments.md",
    ROOT / "docs" / "explanation" / "fictional-facts.md",
    ROOT / "docs" / "explanation" / "beyond-the-collapse.md",
    ROOT / "docs" / "explanation" / "what-is-the-collapse.md",
    *sorted(ROOT.glob("studies/*/README.md")),
]
FIGURE = re.compile(r"[+-]?\d+(?:\.\d+)? \([+-]?[\d.]+ to (?:[+-]?[\d.]+|none)\)")
READERS = (
    r"`(python\s+-m\s+studies\.(?:figure|table|law\.\w+|fictional\.(?:cells|left_out|rule|templates)|collapse\.outcome"
    r"|second_round\.(?:outcome|budgets))"
    r"\s[^`>]+)`"
)
PICTURES = (".svg", ".png")


def explanation(name: str) -> str:
    """Return the text of a page of the explanation."""
    return (ROOT / "docs" / "explanation" / name).read_text(encoding="utf-8")


def commands() -> list[str]:
    """Return the commands on the pages that read logs, each once; line breaks inside them are spaces."""
    found = [" ".join(line.split()) for page in PAGES for line in re.findall(READERS, page.read_text("utf-8"))]
    return sorted({line for line in found if not re.search(r"[A-Z]{3}|\.\.\.", line)})  # NAME stands for a folder


@pytest.mark.parametrize("line", commands())
def test_a_studys_command_gives_its_table_and_picture(line, tmp_path):
    pytest.importorskip("matplotlib")
    words = shlex.split(line)[1:]
    shipped = next((ROOT / word for word in words if word.endswith(PICTURES)), None)
    drawn = tmp_path / shipped.name if shipped else None
    words = [str(drawn) if word.endswith(PICTURES) else word for word in words]
    done = run(shlex.join(["python", *words]), ROOT)
    assert done.returncode == 0, done.stderr
    if drawn:
        assert drawn.stat().st_size > 1000
    else:
        assert len(done.stdout.splitlines()) > 3


STUDIES = sorted(path.parent for path in ROOT.glob("studies/*/logs.tar.xz"))


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
class TestAStudy:
    def test_results_are_those_of_its_logs(self, study):
        done = run(f"python -m studies.results {study.relative_to(ROOT)}/logs.tar.xz", ROOT)
        assert done.returncode == 0, done.stderr
        assert done.stdout == (study / "results.csv").read_text(encoding="utf-8")
        with tarfile.open(study / "logs.tar.xz") as archive:
            logs = sum(name.endswith(LOG_NAME) for name in archive.getnames())
        assert len(done.stdout.splitlines()) == logs + 1  # a row a run, and the names of the columns

    def test_results_predict_as_its_logs_do(self, study):
        from kis_plugin.registry import registered
        from kis_predict.observed import ObservedRun
        from kis_predict.readers import CSVReader
        from kis_predict.readers.gather import gather

        def key(run: ObservedRun) -> tuple[object, ...]:
            return (
                run.params,
                run.tokens,
                run.frequency,
                run.seed,
                run.retention,
                run.n,
                run.chance,
                run.share,
                run.loss,
            )

        logs = gather([study / "logs.tar.xz"], registered("log_readers")).runs
        table = gather([study / "results.csv"], {"CSV": CSVReader()}).runs
        assert sorted(map(key, table)) == sorted(map(key, logs))

    def test_collecting_its_logs_again_gives_the_same_bytes(self, study, tmp_path):
        with tarfile.open(study / "logs.tar.xz") as archive:
            archive.extractall(tmp_path / "logs", filter="data")
        done = run(f"kis runs collect {tmp_path}/logs -o {tmp_path}/again.tar.xz --also exposures-*.npz", ROOT)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "again.tar.xz").read_bytes() == (study / "logs.tar.xz").read_bytes()

    def test_its_page_names_its_commands_and_its_predictions(self, study):
        page = (study / "README.md").read_text(encoding="utf-8")
        assert f"python -m studies.results studies/{study.name}/logs.tar.xz" in " ".join(page.split())
        for prediction in study.glob("predictions/*.md"):
            assert f"predictions/{prediction.name}" in page


def test_a_study_that_froze_method_3_is_still_answered_by_it():
    from benchmarks.extrapolation import observed_runs
    from benchmarks.known_truth import make_sweep
    from kis_predict import method
    from kis_predict.laws.built_in import built_in_laws
    from kis_predict.pipeline import predict
    from kis_predict.request import PredictionRequest
    from studies.frozen import method_3

    def recommended() -> float:
        sweep = make_sweep("gauss", "curved down", 0, sizes=4)
        params, tokens = sweep.targets[5]
        request = PredictionRequest(params=params, tokens=tokens, bootstraps=60)
        found = predict(observed_runs(sweep), request, {law.name: law for law in built_in_laws()})
        return found.recommendation.frequency

    before = method.describe()
    with method_3():
        frozen = recommended()
    assert frozen == pytest.approx(279.800938, rel=1e-6)  # by the code of method 3 itself
    assert method.describe() == before
    assert recommended() < 0.8 * frozen


def test_the_baseline_on_the_page_is_that_of_its_command():
    shown = explanation("law-study.md")
    done = run("python -m studies.law.baseline studies/law/logs.tar.xz", ROOT)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    assert len(rows) == 5
    for params, _, _, _, by_share, measured, ratio in rows:
        assert re.search(rf"\| {params}[^|]*\| {by_share} \| {measured} \| {ratio} \|", shown), params


def test_figures_on_the_evidence_page_stand_on_the_pages_with_the_details():
    text = explanation("evidence.md")
    details = "".join(map(explanation, ("law-study.md", "fictional-facts.md", "beyond-the-collapse.md")))
    figures = FIGURE.findall(text)
    assert len(figures) > 25
    assert [figure for figure in figures if figure not in details] == []


def test_ratios_on_the_evidence_page_are_those_of_its_rows():
    rows = re.findall(
        r"\| (\d+) \([^|]*\) \| (\d+) \| (\d+) \(([^|]*)\) \| ([\d.]+) \| ([\d.]+) \|", explanation("evidence.md")
    )
    baseline = re.findall(r"\| (\d+) \| (\d+) \| ([\d.]+) \|\n", explanation("law-study.md"))
    assert len(rows) == 9
    for predicted, by_share, measured, _, ratio, baseline_ratio in rows:
        assert float(ratio) == pytest.approx(int(predicted) / int(measured), abs=0.0051)
        assert float(baseline_ratio) == pytest.approx(int(by_share) / int(measured), abs=0.01)
    assert [row for row in rows[:-1] if (row[1], row[2], row[5]) not in baseline] == []


def printed(*lines: str) -> str:
    """Return what some commands print, without the borders of tables."""
    runs = [run(line, ROOT) for line in lines]
    assert not any(done.returncode for done in runs), [done.stderr for done in runs]
    return " ".join(" ".join(done.stdout for done in runs).replace("│", " ").split())


def test_collapse_points_without_a_formula_are_those_of_their_command():
    text = explanation("law-study.md")
    section = text[text.index("**Without a curve's formula.**") : text.index("The two differ by a factor of")]
    figures, found = FIGURE.findall(section), printed("python -m studies.law.model_free studies/law/logs.tar.xz")
    assert len(figures) == 17
    assert [figure for figure in figures if figure not in found] == []


def test_exponents_on_the_page_are_those_of_their_command():
    text = explanation("law-study.md")
    section = text[text.index("log F_c = a + b log N + c log D: b =") : text.index("nine sizes and budgets")]
    figures, found = FIGURE.findall(section), printed("python -m studies.fictional.rule studies/law/logs.tar.xz")
    assert len(figures) == 3
    assert [figure for figure in figures if figure not in found] == []


def test_what_the_collapse_is_on_the_page_is_what_its_command_says():
    text = explanation("law-study.md")
    section = text[text.index("## What is the collapse?") : text.index("## Exposures per fact, or their share?")]
    figures, found = FIGURE.findall(section), printed("python -m studies.law.within studies/law/logs.tar.xz")
    assert len(figures) == 7
    assert [figure for figure in figures if figure not in found] == []
    for low, high, where, evaluations, runs in re.findall(
        r"\| ([\d.]+) to ([\d.]+) \| (\S+ \([^)]*\)) \| (\d+), (\d+) \|", section
    ):
        assert re.search(rf"{low} to {high} {evaluations} {runs} \d+ {re.escape(where)}", found)
    assert "0.048 below their best" in found
    assert "38 runs at shares above 0.45" in found


def test_the_guards_counts_on_the_pages_are_those_of_its_command():
    counts = r"(?:peak|point|settled) %(\d+) %(\d+) %(\d+)"
    found = printed("python -m studies.law.guard studies/law/logs.tar.xz")
    rows = [list(map(int, row)) for row in re.findall(counts.replace("%", ""), found)]
    before, until, beyond, _ = rows
    earlier = before[0] + until[0], sum(before + until)
    for text in map(explanation, ("evidence.md", "experiments.md")):
        assert f"in {beyond[0]} of {sum(beyond)} runs beyond" in text
        assert f"in {earlier[0]} of {earlier[1]} before it" in text
    text = explanation("experiments.md")
    table = text[text.index("On 200 facts:") : text.index("On 500 facts:")]
    assert [list(map(int, row)) for row in re.findall(counts.replace("%", r"\| "), table)] == rows


def test_runs_counted_on_the_first_page_are_those_of_the_study():
    from docs.scripts.doc_picture import estimates

    text, archive = (ROOT / "README.md").read_text(encoding="utf-8"), "studies/law/logs.tar.xz"
    rows = (ROOT / "studies" / "law" / "results.csv").read_text(encoding="utf-8").splitlines()
    drawn = sum(len(curve.size.group.runs) for curve in estimates([str(ROOT / archive)]))
    assert f"*{drawn} training runs of six" in text
    assert f"has {len(rows) - 1} runs; 113 of them are infused" in text
    assert "from 113 runs of 6 sizes" in text


COLLAPSE = (
    "python -m studies.collapse.outcome studies/collapse/logs.tar.xz",
    "python -m studies.second_round.outcome studies/second_round/logs.tar.xz studies/collapse/logs.tar.xz",
    "python -m studies.fictional.cells studies/second_round/logs.tar.xz/optimizer",
)


@cache
def collapse_figures() -> str:
    """Return what the commands of the collapse print, without signs, and the ends of single runs of the law's study."""
    pytest.importorskip("matplotlib")
    with (ROOT / "studies" / "law" / "results.csv").open(encoding="utf-8", newline="") as file:
        same = [row for row in csv.DictReader(file) if row["tokens"] == "2252800"]
    known = (("332352", "30"), ("332352", "197"), ("687120", "155"))
    ends = (f" {float(row['retention']):.3f}" for row in same if (row["params"], row["frequency"]) in known)
    return printed(*COLLAPSE).replace("+", "") + "".join(ends)


@pytest.mark.parametrize("page", ["beyond-the-collapse.md", "what-is-the-collapse.md"])
def test_every_figure_of_the_collapse_is_printed_by_its_commands(page):
    text, found = explanation(page).replace("+", ""), collapse_figures()
    figures = FIGURE.findall(text)
    alone = re.findall(r"(?<![\d.])-?\d\.\d{3}\b", re.sub(FIGURE, "", text))
    assert len(figures) >= 6
    assert len(alone) > 5
    assert [figure for figure in [*figures, *alone] if figure not in found] == []


def test_every_figure_with_an_interval_on_the_page_of_fictional_facts_is_printed_by_its_commands():
    figures = FIGURE.findall(explanation("fictional-facts.md"))
    assert len(figures) > 15
    assert [figure for figure in figures if figure not in fictional_figures()] == []


@cache
def fictional_figures() -> str:
    """Return what the commands on the page of fictional facts print."""
    pytest.importorskip("matplotlib")
    lines = dict.fromkeys(re.findall(READERS, explanation("fictional-facts.md")))
    return printed(*(line.split(" --picture")[0] for line in lines))


def test_what_was_found_beside_the_expectations_is_printed_by_the_studies_commands():
    rows = [line.split("|") for line in explanation("expected-and-found.md").splitlines() if line.startswith("| ")]
    outcomes = " ".join("|".join(row[3:]) for row in rows).replace("+", "")
    found = (
        collapse_figures()
        + fictional_figures().replace("+", "")
        + printed(
            "python -m studies.second_round.budgets studies/law/logs.tar.xz studies/second_round/logs.tar.xz",
            "python -m studies.fictional.rule studies/law/logs.tar.xz studies/second_round/logs.tar.xz/third "
            "studies/second_round/logs.tar.xz/left_out",
        ).replace("+", "")
    )
    figures = FIGURE.findall(outcomes)
    assert len(figures) > 25
    assert [figure for figure in figures if figure not in found] == []


def test_intervals_with_seeds_in_the_laws_table_are_those_of_its_command():
    places = " ".join(f"studies/law/logs.tar.xz/{name}" for name in ("runs", "held_out", "two_million"))
    done = run(f"python -m studies.table {places}", ROOT)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if " to " in line]
    known = {(row[0], row[1]): row[6] for row in rows if len(row) > 6}
    text = explanation("law-study.md")
    for line in re.findall(r"^\| [\d,]+ \| \d+, \d+ \|.*$", text, re.MULTILINE):
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        interval, frequency = re.search(r"\((.*?)\), F = (\d+)", cells[3]).groups()
        assert known[cells[0], frequency] == interval
        assert known[cells[0], "402"] in cells[4]
