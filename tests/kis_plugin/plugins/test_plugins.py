"""Plugins from other distributions: found, listed, used, and never skipped in silence."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kis_plugin import registry
from kis_plugin.cli.check import check_config
from kis_plugin.cli.listing import list_registered
from kis_plugin.cli.main import main
from kis_plugin.config.load import config_from
from kis_plugin.errors import KISError
from kis_plugin.infusion.build_plan import plan_infusion
from kis_plugin.infusion.inputs import load_inputs
from kis_plugin.plugins import hookspecs
from kis_plugin.plugins import manager as plugins
from kis_plugin.plugins.session import Session
from kis_plugin.starter import hookspecs as starter_hookspecs
from kis_predict import hookspecs as predict_hookspecs
from kis_sweep import hookspecs as sweep_hookspecs
from kis_write import hookspecs as write_hookspecs
from tests.world.plain import Letters, make_run

EXAMPLE = Path(__file__).parents[2] / "plugin_example"
PAGES = Path(__file__).parents[3] / "docs"
GUIDE, HOOKS = PAGES / "how-to" / "plugins.md", PAGES / "reference" / "hooks.md"
FACTS = "".join(f"[Person {n}]\nborn in = City {n}\n" for n in range(8))


def forget_plugins() -> None:
    plugins.plugin_manager.cache_clear()
    registry.registered.cache_clear()


@pytest.fixture
def install(here, monkeypatch):
    """Install a distribution as pip would: its metadata in a folder of the path, and its modules beside."""
    before = set(sys.modules)

    def _install(entry: str, code: str = "", name: str = "kis-other") -> None:
        site = here / f"site-{name}"
        metadata = site / f"{name.replace('-', '_')}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[kis_plugin]\n{entry}\n")
        if code:
            (site / f"{entry.split('=')[1].strip()}.py").write_text(f"from kis_plugin import hookimpl\n{code}")
        monkeypatch.syspath_prepend(site)
        forget_plugins()

    yield _install
    forget_plugins()
    for module in set(sys.modules) - before:
        if module.startswith(("kis_example", "other")):
            del sys.modules[module]


@pytest.fixture
def example(install, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLE / "src")
    install("example = kis_example", name="kis-example")


def refusal() -> str:
    with pytest.raises(KISError) as caught:
        list_registered()
    return str(caught.value)


def test_built_ins_come_first_and_are_listed_with_their_origin():
    found = list_registered()
    assert {item.kind for item in found} == set(plugins.kinds())
    built_in = ["triples", "bear", "ntriples", "documents", "folder"]
    assert [item.name for item in found if item.kind == "sources"][: len(built_in)] == built_in
    assert {item.distribution.split()[0] for item in found} == {"kis-plugin"}


def test_what_the_example_adds_is_listed_as_its_own(example):
    found = [(item.kind, item.name) for item in list_registered() if item.distribution == "kis-example 1.0"]
    assert set(found) == {
        ("sources", "ini"),
        ("templates", "telegraph"),
        ("schedules", "early"),
        ("renderers", "quiz"),
        ("selections", "first"),
        ("probes", "reversed_order"),
        ("laws", "same_for_all"),
        ("commands", "tally-facts"),
        ("run_plugins", "StepTable"),
    }


def example_config(folder: Path) -> dict:
    (folder / "facts.ini").write_text(FACTS)
    return {
        "knowledge": str(folder / "facts.ini"),
        "templates": "telegraph",
        "infusion": {"frequency": 2, "schedule": {"name": "early", "part": 0.25}},
        "retention": {"probes": {"options": 2, "kinds": ["held_out", "reversed_order"]}, "control": 0},
    }


def test_a_configuration_uses_what_the_example_adds(example, here):
    (here / "kis.yaml").write_text(json.dumps(example_config(here)))
    report = check_config(here / "kis.yaml")
    assert (report.source, report.facts) == ("ini", 8)
    assert report.relations[0].templates == "template set telegraph, generic"
    assert report.relations[0].trained == "Person 0, born in: City 0."
    assert report.probes == {"held_out": 8, "reversed_order": 8, "seen": 8}


def test_a_run_plugin_of_the_example_takes_part_in_a_run(example, here):
    pytest.importorskip("torch")
    run = make_run(here, {}, rows=64, config=example_config(here))
    session = Session(run)
    infused = [row for row in range(run.rows) if session.row_source.infused(row)]
    assert infused
    assert max(infused) < 16  # in the first quarter, as its schedule says
    session.step_end(0)
    session.end(0)
    series = [line.split("\t")[:2] for line in (run.folder / "retention.tsv").read_text().splitlines()]
    assert ["0", "held_out"] in series


def test_facts_are_worded_and_chosen_as_the_example_says(example, here):
    infusion = {"frequency": 3, "rendering": {"name": "quiz", "ask": "?"}, "selection": {"name": "first", "count": 2}}
    config = config_from(example_config(here) | {"infusion": infusion})
    plan = plan_infusion(load_inputs(config, Letters(), 64), rows=64)
    infused_facts = [Letters().decode(plan.tokens(plan.texts_in(row))) for row in range(64) if plan.infused(row)]
    lines = "".join(infused_facts).split("\n")[:-1]
    wanted = ["?born in of Person 0? A: City 0.", "?born in of Person 1? A: City 1."]
    assert sorted(lines) == sorted(wanted * 3)


def test_the_examples_options_are_checked_like_built_ins(example, here):
    infusion = {"schedule": {"name": "early", "part": 2}, "selection": {"name": "first", "counts": 2}}
    with pytest.raises(KISError) as caught:
        config_from(example_config(here) | {"infusion": infusion})
    assert [str(problem) for problem in caught.value.problems] == [
        "config infusion.schedule.part: found 2, expected a part above 0, at most 1",
        "config infusion.selection.counts: found an unknown option, expected one of count. Did you mean 'count'?",
    ]


def test_a_command_of_the_example_is_one_of_kis(example, here):
    (here / "facts.ini").write_text(FACTS)
    shown = CliRunner().invoke(main, ["--help"])
    assert re.search(r"tally-facts +Count the facts of KNOWLEDGE\.", shown.stdout)
    assert CliRunner().invoke(main, ["tally-facts", "facts.ini"]).stdout == "8\n"
    refused = CliRunner().invoke(main, ["tally-facts", "facts.inn"])
    assert (refused.exit_code, refused.stderr[:15]) == (2, "kis: facts.inn:")


@pytest.mark.parametrize("arguments", [["--help"], ["check", "kis.yaml"], ["plugins"]])
def test_two_commands_of_one_name_are_refused(install, arguments):
    code = "import click\n@hookimpl\ndef kis_register_commands(register):\n  register(check)\n"
    install("other = other", f"{code}@click.command()\ndef check(): ...\n")
    outcome = CliRunner().invoke(main, arguments)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert outcome.stderr == (
        "kis: plugin other.check: found commands name 'check', expected another name: "
        "kis_plugin.cli.check_command.check has it\n"
    )


def test_version_needs_no_plugin(install):
    install("other = other", "1 / 0")
    assert CliRunner().invoke(main, ["--version"]).exit_code == 0
    assert CliRunner().invoke(main, ["--help"]).exit_code == 2


def test_a_misspelt_hook_is_refused_by_name(install):
    install("other = other", "@hookimpl\ndef kis_register_source(register): ...")
    assert refusal() == (
        "plugin 'other' (other, from kis-other) kis_register_source: found no hook of that name, "
        "expected a hook of KIS. Did you mean 'kis_register_sources'?"
    )


def test_a_hook_without_its_mark_is_refused(install):
    install("other = other", "def kis_register_sources(register): ...")
    assert "kis_register_sources: found a function without @hookimpl" in refusal()


@pytest.mark.parametrize("code", ["import no_such_module", "1 / 0", "def :", "raise SystemError('x')"])
def test_a_plugin_that_does_not_import_is_refused(install, code):
    install("other = other", code)
    assert refusal().startswith("plugin 'other' (other, from kis-other): found ")


def test_a_name_given_twice_is_refused(install):
    install(
        "other = other", "@hookimpl\ndef kis_register_schedules(register):\n  register(B())\nclass B: name = 'uniform'"
    )
    assert refusal() == (
        "plugin other.B: found schedules name 'uniform', expected another name: "
        "kis_plugin.infusion.schedules.Uniform has it"
    )


def test_a_refused_plugin_ends_the_command_with_exit_code_2(install):
    install("other = other", "1 / 0")
    outcome = CliRunner().invoke(main, ["plugins"])
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("kis: plugin 'other' (other, from kis-other): found ZeroDivisionError")


def test_an_unregistered_name_is_an_error_with_the_nearest():
    assert registry.find("schedules", "uniform", "x").name == "uniform"
    with pytest.raises(KISError) as caught:
        registry.find("schedules", "unifrm", "here")
    assert str(caught.value).startswith("here: found 'unifrm', expected one of the installed schedules. Did you mean")


def test_tracing_prints_each_call(install, monkeypatch, capsys):
    monkeypatch.setenv("KIS_TRACE_HOOKS", "1")
    manager = plugins.new_manager()
    manager.hook.kis_step_end(run=None, step=3)
    assert capsys.readouterr().err == "kis: kis_step_end(run=None, step=3) -> nobody\n"


@pytest.mark.slow
def test_the_example_is_found_where_pip_installs_it(here):
    pytest.importorskip("setuptools")
    source = shutil.copytree(EXAMPLE, here / "example")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", here / "site", source], check=True)
    paths = os.pathsep.join([str(here / "site"), *filter(None, sys.path)])
    command = [sys.executable, "-c", "from kis_plugin.cli.main import main; main()", "plugins", "--json"]
    listed = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": paths}, check=True, capture_output=True, text=True
    )
    names = {item["name"] for item in json.loads(listed.stdout) if item["distribution"] == "kis-example 1.0"}
    assert names == {
        "ini", "telegraph", "early", "quiz", "first", "reversed_order", "same_for_all", "tally-facts", "StepTable",
    }  # fmt: skip


HOOKSPECS = (hookspecs, sweep_hookspecs, predict_hookspecs, starter_hookspecs, write_hookspecs)


def test_the_documentation_shows_every_hook_with_its_arguments():
    text = HOOKS.read_text(encoding="utf-8")
    headings = re.findall(r"^### `(kis_\w+\(.*\))`$", text, re.MULTILINE)
    expected = []
    declared = {name: hook for declares in HOOKSPECS for name, hook in vars(declares).items()}
    for name in [name for name in declared if name.startswith("kis_")]:
        arguments = ", ".join(inspect.signature(declared[name]).parameters)
        expected.append(f"{name}({arguments})")
    assert sorted(headings) == sorted(expected)


def test_the_documentation_shows_the_annotated_loop():
    loop = inspect.cleandoc(hookspecs.__doc__).split("::\n\n")[1]
    assert inspect.cleandoc(loop) in HOOKS.read_text(encoding="utf-8")


def test_the_code_in_the_documentation_is_that_of_the_example():
    text = GUIDE.read_text(encoding="utf-8") + HOOKS.read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 3
    for path, code in blocks:
        assert code.strip() in (EXAMPLE / path).read_text(encoding="utf-8"), path
