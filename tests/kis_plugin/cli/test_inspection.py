"""kis inspect: its report of a run is what the run would do."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from kis_plugin.cli import inspection
from kis_plugin.cli.inspect_command import sparkline
from kis_plugin.cli.inspection import inspect_config
from kis_plugin.cli.main import main
from kis_plugin.config.load import load_config
from kis_plugin.infusion.build_plan import plan_infusion
from kis_plugin.infusion.inputs import load_inputs
from kis_plugin.tokenized.infusion_split import load_split
from tests.world.facts import people, write_facts
from tests.world.plain import BLOCK, Letters

ROWS = 600


@pytest.fixture(autouse=True)
def facts(here, monkeypatch):
    """Two relations: 40 facts with two templates, and 20 with another number of templates."""
    countries = [{"subject": f"Land{n}", "relation": "P36", "object": f"Town{n % 8}"} for n in range(20)]
    write_facts(here, people(40) + countries)
    monkeypatch.setitem(
        sys.modules, "kis_plugin.tokenized.load_tokenizer", SimpleNamespace(load_tokenizer=lambda name: Letters())
    )


def configure(**infusion) -> Path:
    path = Path("kis.yaml")
    path.write_text(json.dumps({"knowledge": "facts.jsonl", "infusion": infusion, "retention": {"control": 4}}))
    return path


def report_of(rows: int = ROWS, **infusion):
    return inspect_config(configure(**infusion), Letters(), rows, BLOCK)


def kis(*arguments: str):
    return CliRunner().invoke(main, ["inspect", "kis.yaml", "--tokenizer", "letters", *arguments])


def walked(rows: int = ROWS) -> tuple[Counter[str], Counter[str], int]:
    """Exposures and tokens by relation and infused rows, from every row of the plan."""
    config = load_config(Path("kis.yaml"))
    plan, split = plan_infusion(load_inputs(config, Letters(), BLOCK), rows), load_split(config)
    exposures: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    infused = 0
    for row in range(rows):
        texts = plan.texts_in(row)
        infused += texts is not None
        for text in [] if texts is None else texts.tolist():
            relation = split.knowledge.facts[int(plan.texts.entry[text % len(plan.texts)])].relation
            exposures[relation] += 1
            tokens[relation] += int(plan.texts.offsets[text + 1] - plan.texts.offsets[text])
    return exposures, tokens, infused


@pytest.mark.parametrize(
    "infusion",
    [
        {"frequency": 5},
        {"frequency": 2.3},
        {"frequency": 4, "template_order": "first"},
        {"frequency": 20, "template_order": "random"},
        {"frequency": 2.7, "template_order": "random"},
        {"share": 0.2},
        {"tokens": 9000, "schedule": {"name": "burst", "bursts": 2}},
        {"frequency": 3, "placement": "inline"},
        {"frequency": 3, "window": [0.25, 0.5], "rendering": "triples"},
    ],
    ids=str,
)
def test_amounts_are_those_of_a_walk_through_every_row(infusion):
    report = report_of(**infusion)
    exposures, tokens, infused = walked()
    assert {item.relation: item.exposures for item in report.relations} == exposures
    assert {item.relation: item.tokens for item in report.relations} == tokens
    assert (report.exposures, report.infused_tokens) == (exposures.total(), tokens.total())
    assert report.share == tokens.total() / (ROWS * BLOCK)
    assert report.infused_rows == infused
    assert sum(item.share for item in report.relations) == pytest.approx(1)


def test_the_picture_counts_the_infused_rows_of_each_part():
    report = report_of(640, frequency=6, window=[0.5, 1.0], schedule="ramp")
    assert len(report.density) == 64
    assert round(sum(report.density) * 10) == report.infused_rows
    assert not any(report.density[:32])
    assert sum(report.density[32:48]) < sum(report.density[48:])
    assert report.every == 1


def test_a_run_of_few_rows_has_as_many_parts():
    assert len(report_of(40, frequency=0).density) == 40


def test_a_long_run_is_sampled_and_the_report_says_so(monkeypatch):
    monkeypatch.setattr(inspection, "MOST_ROWS", 1000)
    report = report_of(4500, frequency=64, schedule={"name": "ramp"})
    assert report.every == 5
    assert sum(report.density) / 64 == pytest.approx(report.infused_rows / 4500, rel=0.1)
    assert len(report.examples) == 10
    assert "; one row in 5 is counted" in kis("--rows", "4500", "--block", str(BLOCK)).stdout


@pytest.mark.parametrize("placement", ["rows", "inline"])
def test_ten_rows_are_decoded_with_what_fills_them(placement):
    report = report_of(frequency=5, placement=placement)
    assert len(report.examples) == 10
    assert [example.row for example in report.examples] == sorted({example.row for example in report.examples})
    plan = plan_infusion(load_inputs(load_config(Path("kis.yaml")), Letters(), BLOCK), ROWS)
    for example in report.examples:
        assert sum(stretch.tokens for stretch in example.stretches) == BLOCK
        infused = [stretch for stretch in example.stretches if stretch.infused]
        assert (
            "".join(stretch.text for stretch in infused)
            in Letters()
            .decode(plan.tokens(plan.texts_in(example.row)).tolist())
            .replace("\n", "")
            .replace(". ", ".")
            .lstrip()
        )
        assert all(stretch.id for stretch in infused)
        assert example.infused_tokens == sum(stretch.tokens for stretch in infused)
    first = [example.stretches[0].infused for example in report.examples]
    assert all(first) if placement == "rows" else not all(first)


def test_documents_are_shown_as_they_are_cut(here):
    text = " ".join(f"Sentence number {n} of the document." for n in range(12))
    (here / "notes.txt").write_text(text)
    Path("kis.yaml").write_text('{"knowledge": "notes.txt", "infusion": {"frequency": 2, "chunk_tokens": 60}}')
    report = inspect_config(Path("kis.yaml"), Letters(), 60, BLOCK)
    assert (report.facts, report.passages) == (0, 1)
    assert report.texts > 1
    (documents,) = report.relations
    assert (documents.relation, documents.infused) == ("(passages)", report.texts)
    assert report.examples[0].stretches[0].text in text


def test_nothing_is_infused_at_frequency_0():
    report = report_of(frequency=0)
    assert (report.exposures, report.infused_tokens, report.infused_rows, report.examples) == (0, 0, 0, ())
    assert kis("--rows", "100", "--block", "96").exit_code == 0


def test_what_is_shown():
    configure(frequency=3, schedule="spaced")
    shown = kis("--tokens", "57.6k", "--block", "96").stdout
    assert shown.startswith("kis.yaml in a run of 600 rows of 96 tokens, 57,600 in all\n")
    assert "  amount                frequency 3.0\n" in shown
    assert "  exposures             168: 3 each, 3 on average\n" in shown
    assert "  schedule              spaced\n" in shown
    assert "\n▕█" in shown
    assert " P19        place of birth " in shown
    assert "⟦" in shown
    assert " of base text)" in shown
    assert "\x1b" not in shown
    report = report_of(frequency=3, schedule="spaced")
    assert f"  schedule hash         {report.schedule_hash}\n" in shown
    assert f"  infused rows          {report.infused_rows:,} of 600\n" in shown


def test_infused_text_cannot_command_the_terminal(here):
    (here / "notes.txt").write_text("A red \x1b[31mfox ran. " * 4)
    Path("kis.yaml").write_text('{"knowledge": "notes.txt", "infusion": {"frequency": 2}}')
    shown = kis("--rows", "60", "--block", "128")
    assert shown.exit_code == 0, shown.stderr
    assert "A red �[31mfox ran." in shown.stdout
    assert "\x1b" not in shown.stdout


def test_long_rows_are_cut_short_without_whole(here):
    configure(frequency=3)
    short = kis("--rows", "100", "--block", "960").stdout
    assert " more)" in short
    whole = kis("--rows", "100", "--block", "960", "--whole").stdout
    assert " more)" not in whole
    assert whole.count("⟦") > short.count("⟦")


def test_examples_sets_the_number_of_example_rows():
    configure(frequency=3)
    size = ("--rows", "600", "--block", "96", "--json")
    assert [len(json.loads(kis(*size, "--examples", count).stdout)["examples"]) for count in "0137"] == [0, 1, 3, 7]


def test_json_has_all_of_it():
    configure(frequency=3)
    report = json.loads(kis("--rows", "600", "--block", "96", "--json").stdout)
    assert report == json.loads(json.dumps(report_of(frequency=3).as_json()))
    assert report["status"] == "ok"
    assert {"frequency", "infused_tokens", "share", "infused_rows", "schedule_hash", "density"} <= set(report)
    assert set(report["examples"][0]["stretches"][0]) == {"infused", "tokens", "text", "id"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--block", "96"], "Give the length of the run once: --tokens, or --rows."),
        (["--block", "96", "--rows", "5", "--tokens", "2B"], "Give the length of the run once"),
        (["--block", "96", "--tokens", "50"], "--tokens 50 is less than one row of 96 tokens."),
        (["--block", "96", "--tokens", "many"], "found 'many', expected an amount such as 7B"),
        (["--block", "1", "--rows", "5"], "1 is not in the range x>=2"),
        (["--rows", "5"], "Missing option '--block'"),
    ],
)
def test_wrong_usage_ends_with_2(arguments, said):
    configure(frequency=3)
    outcome = kis(*arguments)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert said in " ".join(outcome.stderr.split())


def test_an_amount_that_does_not_fit_ends_with_2():
    configure(frequency=1000)
    outcome = kis("--rows", "100", "--block", "96")
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("kis: infusion.frequency: found 1000.0, which takes ")
    assert "What fits is about" in outcome.stderr
    as_json = kis("--rows", "100", "--block", "96", "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)["status"]) == (2, "error")


def test_skip_known_gets_a_note_that_facts_count_as_unknown():
    configure(frequency=3, skip_known=True)
    outcome = kis("--rows", "600", "--block", "96", "--json")
    assert (
        outcome.stderr == "kis: note: skip_known: the run probes the model first; here every fact counts as unknown.\n"
    )
    assert json.loads(outcome.stdout)["exposures"] == 168


def test_a_sparkline():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == " ▂▃▄▅▆▇█"
    assert sparkline([0.001, 0.5, 0]) == "▁█ "
    assert sparkline([0.3, 0.3]) == "██"
    assert sparkline([]) == sparkline([], ".#") == ""


SHELL = """
import sys
from types import SimpleNamespace
from tests.world.plain import Letters
sys.modules["kis_plugin.tokenized.load_tokenizer"] = SimpleNamespace(load_tokenizer=lambda name: Letters())
from kis_plugin.cli.main import main
main(["inspect", "kis.yaml", "--tokenizer", "letters", "--rows", "600", "--block", "96"], prog_name="kis")
"""


def in_terminal(**env: str) -> str:
    """Run the command with a terminal as its stdout; return what the terminal got."""
    host, terminal = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "CI")}
    paths = os.pathsep.join(filter(None, sys.path))
    environment |= {"PYTHONPATH": paths, "TERM": "xterm-256color", "COLUMNS": "100", "LC_ALL": "C.UTF-8", **env}
    running = subprocess.Popen([sys.executable, "-c", SHELL], env=environment, stdout=terminal, stderr=terminal)
    os.close(terminal)
    got = b""
    try:
        while piece := os.read(host, 4096):
            got += piece
    except OSError:  # the terminal's other end was closed
        pass
    os.close(host)
    assert running.wait(60) == 0, got.decode()
    return got.decode()


def test_the_real_command_with_a_real_tokenizer():
    pytest.importorskip("transformers")
    from tests.world.tokenizers import hugging_face

    hugging_face("byte-level").save_pretrained("tokenizer")
    configure(frequency=2, placement="inline")
    command = [sys.executable, "-m", "kis_plugin.cli.main", "inspect", "kis.yaml", "--tokenizer", "tokenizer"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONIOENCODING": "utf-8"}
    run = {"env": env, "capture_output": True, "encoding": "utf-8"}
    shown = subprocess.run([*command, "--tokens", "100k", "--block", "256"], **run)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "⟦Person" in shown.stdout
    assert "for which there is a stand-in here" in shown.stdout
    Path("kis.yaml").write_text("knowledge: facts.jsonl\nsed: 1\n")
    refused = subprocess.run([*command, "--tokens", "100k", "--block", "256"], **run)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert (
        refused.stderr
        == "kis: kis.yaml:2 sed: found an unknown key, expected a key of kis.yaml. Did you mean 'seed'?\n"
    )


def test_facts_are_coloured_or_marked():
    configure(frequency=3)
    coloured = in_terminal()
    assert "\x1b[1;32m" in coloured
    assert "⟦" not in coloured
    assert "▕" in coloured
    plain = in_terminal(NO_COLOR="1")
    assert "\x1b[1;32m" not in plain
    assert "⟦" in plain


def test_a_terminal_without_these_letters_gets_others():
    configure(frequency=3)
    plain = in_terminal(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii", NO_COLOR="1")
    assert "[[" in plain
    assert "|#" in plain or "|*" in plain or "|%" in plain
    assert plain.isascii()
