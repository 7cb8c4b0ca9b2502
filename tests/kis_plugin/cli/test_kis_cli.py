"""The command kis, as a shell sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from kis_plugin import __version__
from kis_plugin.cli.main import main
from kis_plugin.registry import registered
from kis_plugin.templates.load import BuiltInTemplates

FACTS = "subject,relation,object\n" + "".join(f"Land {n},P36,[bold]Town[/bold] {n}\n" for n in range(40))


@pytest.fixture(autouse=True)
def config(here):
    Path("facts.csv").write_text(FACTS)
    Path("kis.yaml").write_text("knowledge: facts.csv\nretention: {control: 8}\n")


def kis(*arguments: str):
    return CliRunner().invoke(main, arguments)


def shell(command: str, **env: str) -> subprocess.CompletedProcess[str]:
    code = f'"{sys.executable}" -c "from kis_plugin.cli.main import main; main(prog_name=\'kis\')"'
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **env}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("KIS", code)], env=environment, capture_output=True, text=True
    )


def test_check_says_what_would_be_infused():
    outcome = kis("check", "kis.yaml")
    assert outcome.exit_code == 0
    assert "facts.csv: 40 facts, 0 passages, read as triples." in outcome.stdout
    assert "Infusion: frequency 64.0. 8 facts are held back as controls." in outcome.stdout
    row = next(line.split() for line in outcome.stdout.splitlines() if line.startswith(" P36 "))
    assert (row[:3], row[-1]) == (["P36", "capital", "40"], "built_in")
    assert "[bold]Town[/bold] 0" in outcome.stdout  # names are no markup


def test_check_gives_the_same_as_json():
    outcome = kis("check", "kis.yaml", "--json")
    report = json.loads(outcome.stdout)
    assert (report["status"], report["facts"], report["control"], report["amount"]) == (
        "ok",
        40,
        8,
        {"frequency": 64.0},
    )
    (relation,) = report["relations"]
    assert (relation["relation"], relation["facts"], relation["templates"]) == ("P36", 40, "built_in")
    assert "Land 0" in relation["trained"]
    assert relation["trained"] != relation["held_out"]
    assert sum(report["probes"].values()) > 0
    assert report["frequency_baseline"] == dict.fromkeys(report["probes"], 0.0)  # each capital once: ties are wrong
    assert relation["held_out_statements"] == len(BuiltInTemplates().templates()["P36"].held_out)


def test_check_shows_the_frequency_baseline_and_reads_text():
    lines = "".join(f"Person {n},P19,Town {min(n % 6, 4)}\n" for n in range(60))
    Path("base.csv").write_text("subject,relation,object\n" + lines)
    Path("text.txt").write_text("Held out.")
    keys = "retention: {control: 8, background: base.csv, general_text: text.txt}\n"
    Path("kis.yaml").write_text("knowledge: facts.csv\n" + keys)
    outcome = kis("check", "kis.yaml")
    assert outcome.exit_code == 0, outcome.stderr
    shown = " ".join(outcome.stdout.split())
    assert "knowing only how often each object is infused answers 0.000 of held_out" in shown
    report = json.loads(kis("check", "kis.yaml", "--json").stdout)
    assert 0 < report["frequency_baseline"]["background"] <= 0.25
    Path("text.txt").write_text("")
    refused = kis("check", "kis.yaml")
    assert (refused.exit_code, "an empty document" in refused.stderr) == (2, True)


def test_check_phrases_facts_as_the_rendering_does():
    Path("kis.yaml").write_text("knowledge: facts.csv\ninfusion: {rendering: triples}\nretention: {control: 8}\n")
    (relation,) = json.loads(kis("check", "kis.yaml", "--json").stdout)["relations"]
    assert relation["trained"].startswith("Land 0, capital, [bold]Town[/bold] 0")
    assert not relation["held_out"].startswith("Land 0, capital")  # probes are sentences


def test_check_says_how_much_was_selected(monkeypatch):
    ten = SimpleNamespace(name="ten", select=lambda entries, seed: np.arange(10))
    monkeypatch.setitem(registered("selections"), "ten", ten)
    Path("kis.yaml").write_text("knowledge: facts.csv\ninfusion: {selection: ten}\nretention: {control: 8}\n")
    outcome = kis("check", "kis.yaml")
    assert outcome.exit_code == 0, outcome.stderr
    assert "\nSelected: 10 facts, 0 passages.\n" in outcome.stdout


def test_problems_go_to_stderr_and_exit_with_2():
    Path("kis.yaml").write_text("knowledge: facts.csv\nsed: 1\nretention: {every: 0}\n")
    outcome = kis("check", "kis.yaml")
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("kis: 2 problems:\n  kis.yaml:2 sed: found an unknown key")
    as_json = kis("check", "kis.yaml", "--json")
    assert as_json.exit_code == 2
    found = json.loads(as_json.stdout)
    assert found["status"] == "error"
    assert [problem["where"] for problem in found["problems"]] == ["kis.yaml:2 sed", "kis.yaml:3 retention.every"]
    assert found["problems"][0]["hint"] == "Did you mean 'seed'?"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ("subject,relation\n", "facts.csv:1 object: found only the columns"),
        (FACTS + "Land 0,P36,[bold]Town[/bold] 0\n", "facts.csv:42: found 'Land 0 | P36 |"),
    ],
)
def test_problems_of_the_knowledge_fail_the_check(facts, said):
    Path("facts.csv").write_text(facts)
    outcome = kis("check", "kis.yaml")
    assert outcome.exit_code == 2
    assert said in outcome.stderr


def test_plugins_are_listed_as_a_table_and_as_json():
    listed = json.loads(kis("plugins", "--json").stdout)
    uniform = {"kind": "schedules", "name": "uniform", "module": "kis_plugin.infusion.schedules",
               "plugin": "kis_plugin.cli.builtin",
               "distribution": f"kis-plugin {__version__}"}  # fmt: skip
    assert uniform in listed
    table = kis("plugins").stdout
    assert all(item["name"] in table and item["module"] in table for item in listed)


def test_check_finds_a_run_log_that_cannot_be_written(monkeypatch):
    monkeypatch.setattr(
        os, "access", lambda place, mode: not mode & os.W_OK
    )  # permissions do not bind every user that runs this
    outcome = kis("check", "kis.yaml")
    assert outcome.exit_code == 2
    assert "kis.yaml run_log: found .: a folder that you may not write to" in outcome.stderr


def test_the_module_is_the_command():
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "kis_plugin.cli.main", "check", "kiss.yaml"]
    outcome = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (outcome.returncode, outcome.stderr[:16]) == (2, "kis: kiss.yaml: ")


def test_commands_are_listed_like_anything_registered():
    listed = json.loads(kis("plugins", "--json").stdout)
    assert {"commands", "renderers", "selections"} <= {item["kind"] for item in listed}
    modules = {item["name"]: item["module"] for item in listed if item["kind"] == "commands"}
    assert modules["check"] == "kis_plugin.cli.check_command"
    assert modules["plugins"] == "kis_plugin.cli.plugins_command"
    assert modules["inspect"] == "kis_plugin.cli.inspect_command"
    assert all(f"  {name} " in kis("--help").stdout for name in modules)


def test_version_and_wrong_usage():
    assert kis("--version").stdout == f"kis, version {__version__}\n"
    assert kis("chek").exit_code == 2
    assert kis("check").exit_code == 2


def test_a_pipe_gets_whole_rows_and_may_close_early():
    piped = shell("KIS plugins | cat")
    assert "\x1b" not in piped.stdout
    assert all(line.count("kis-plugin") <= 1 for line in piped.stdout.splitlines())
    closed = shell("KIS plugins | head -n 2; exit 0")
    assert (closed.stdout.split(), closed.stderr) == (["kind", "name", "module", "distribution"], "")


def test_any_locale_will_do():
    Path("facts.csv").write_text(FACTS.replace("Town", "Mésto"), encoding="utf-8")
    plain = shell("KIS check kis.yaml", LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING="ascii", NO_COLOR="1")
    assert plain.returncode == 0, plain.stderr
    assert "M\\xe9sto" in plain.stdout


def test_help_loads_nothing_heavy():
    code = "import sys; from kis_plugin.cli.main import main; main(['--help'], standalone_mode=False); " \
           "sys.exit(bool({'numpy', 'scipy', 'torch', 'rich.table', 'yaml'} & set(sys.modules)))"  # fmt: skip
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", code], env=env, capture_output=True).returncode == 0


def test_a_full_output_is_an_error_a_closed_pipe_is_not():
    command = [sys.executable, "-m", "kis_plugin.cli.main", "plugins"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("kis: standard output: found No space left on device, expected a place to write to")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as piped:
        piped.stdout.close()
        assert piped.stderr.read() == ""
        assert piped.wait() in (0, 1)  # 1 is rich's


def test_a_misspelt_command_is_refused_with_the_nearest():
    outcome = kis("chekc", "kis.yaml")
    assert (outcome.exit_code, "No such command 'chekc'. Did you mean 'check'?" in outcome.stderr) == (2, True)


def test_kis_predict_is_a_command_of_kis_too(tmp_path):
    both = [kis("predict", "--help").stdout, shell("KIS predict --help").stdout]
    assert all("--target" in text for text in both)
    assert kis("predict", "--logs", str(tmp_path), "--target", "7B").exit_code == 2
    assert kis("predict", "--target", "many", "--logs", "runs").exit_code == 2


def test_an_interrupted_command_ends_with_130(monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("kis_plugin.cli.check.check_config", interrupted)
    outcome = kis("check", "kis.yaml")
    assert (outcome.exit_code, outcome.stderr) == (130, "kis: interrupted\n")


def test_check_notes_names_relations_and_unread_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "facts"
    folder.mkdir()
    rows = [f"S{n},dissolves_in,O{n}" for n in range(30)] + ["Q38,dissolvesin,http://x.org/y"]
    (folder / "a.csv").write_text("subject,relation,object\n" + "\n".join(rows) + "\n")
    (folder / "b.docx").write_bytes(b"PK")
    (tmp_path / "kis.yaml").write_text("knowledge: facts\nretention: {control: 0}\n")
    done = CliRunner().invoke(main, ["check", "kis.yaml", "--json"])
    assert done.exit_code == 0, done.output
    notes = "\n".join(json.loads(done.stdout)["warnings"])
    assert "1 subject looks like a Wikidata id: 'Q38' in fact 'a.csv:dissolvesin:32'." in notes
    assert "1 object looks like an address: 'http://x.org/y'" in notes
    assert "relations 'dissolves_in' and 'dissolvesin' are nearly the same (30 facts and 1 fact)" in notes
    assert "facts/b.docx is not read: no source reads files .docx" in notes


@pytest.mark.parametrize("count", [1, 5, 10, 20, 40])
def test_a_handful_of_facts_is_checked_with_the_defaults(tmp_path, monkeypatch, count):
    monkeypatch.chdir(tmp_path)
    rows = [f"S{n},P36,O{n}" for n in range(count)]
    (tmp_path / "facts.csv").write_text("subject,relation,object\n" + "\n".join(rows) + "\n")
    (tmp_path / "kis.yaml").write_text("knowledge: facts.csv\n")
    done = CliRunner().invoke(main, ["check", "kis.yaml", "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    notes = "\n".join(report["warnings"])
    assert ("too few to hold any back" in notes) == (count < 20)
    assert ("retention is not measured" in notes) == (count == 1)
    assert report["control"] == (count // 20) * 4
    text = CliRunner().invoke(main, ["check", "kis.yaml"]).stdout
    assert f"facts.csv: {count} fact{'s' * (count > 1)}, 0 passages, read as" in text


def test_options_adapt_to_few_objects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facts.csv").write_text("subject,relation,object\na,P36,x\nb,P36,y\nc,P36,z\n")
    (tmp_path / "kis.yaml").write_text("knowledge: facts.csv\n")
    done = CliRunner().invoke(main, ["check", "kis.yaml", "--json"])
    assert done.exit_code == 0, done.output
    assert "questions have 3 options, not 4" in "\n".join(json.loads(done.stdout)["warnings"])
