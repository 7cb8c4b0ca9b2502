"""What the documentation shows is run: commands, configurations, code, and the output it promises."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = {
    "kis": [sys.executable, "-m", "kis_plugin.cli.main"],
    "kis-predict": [sys.executable, "-m", "kis_predict.cli"],
    "python": [sys.executable],
}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, *words = shlex.split(line)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, [ROOT, ROOT / "adapters", ROOT / "predictor"])),
        "COLUMNS": "80",
        "NO_COLOR": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    command = [*COMMANDS[program], *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def facts_of_one_relation(path: Path) -> None:
    lines = [{"subject": f"Person{n}", "relation": "P19", "object": f"Town{n % 8}"} for n in range(24)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=lambda page: page.name)
def test_configurations_load(page, tmp_path, monkeypatch):
    from kis_plugin.config.load import load_config

    monkeypatch.chdir(tmp_path)
    facts_of_one_relation(tmp_path / "facts.jsonl")
    for text in blocks(page, "yaml"):
        if text.startswith("# kis.yaml"):
            (tmp_path / "kis.yaml").write_text(text)
            assert load_config(tmp_path / "kis.yaml").knowledge.name == "facts.jsonl"


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "console")], ids=lambda page: page.name)
def test_commands_run_and_print_what_is_shown(page, tmp_path):
    """Commands of a page run in order in one folder; output shown under a command is all of its output."""
    for name in ("examples", "studies"):
        (tmp_path / name).symlink_to(ROOT / name)
    facts_of_one_relation(tmp_path / "facts.jsonl")
    (tmp_path / "kis.yaml").write_text("knowledge: facts.jsonl\nretention: {control: 4}\n")
    if "--tokenizer tokenizer" in page.read_text(encoding="utf-8"):
        pytest.importorskip("transformers")
        from tests.world.tokenizers import hugging_face

        hugging_face("byte-level").save_pretrained(tmp_path / "tokenizer")
    for sequence_length in blocks(page, "console"):
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", sequence_length, re.M):
            done = run(command, tmp_path)
            assert done.returncode == ("No prediction" in shown), f"{command}\n{done.stderr}"
            if shown.strip():
                assert [line.rstrip() for line in done.stdout.splitlines()] == [
                    line.rstrip() for line in shown.rstrip("\n").splitlines()
                ], command


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "docs" / "how-to" / "huggingface.md"], ids=lambda page: page.name
)
def test_the_trainer_example_trains_infuses_and_logs(page, tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    from kis_plugin.run.log import read_run_log
    from tests.world.data import BaseRows
    from tests.world.models import make_model
    from tests.world.runs import arguments
    from tests.world.tokenizers import make_tokenizer

    monkeypatch.chdir(tmp_path)
    facts_of_one_relation(tmp_path / "facts.jsonl")
    (config,) = [text for text in blocks(page, "yaml") if text.startswith("# kis.yaml")]
    (tmp_path / "kis.yaml").write_text(config.replace("frequency: 64", "frequency: 3"))
    (code,) = [text for text in blocks(page, "python") if "KnowledgeInfusion(" in text]
    tokenizer = make_tokenizer()
    names = {
        "model": make_model(),
        "args": arguments(tmp_path),
        "train": BaseRows(80, tokenizer),
        "heldout": BaseRows(8, tokenizer),
        "tokenizer": tokenizer,
    }
    exec(compile(code, str(page), "exec"), names)
    (log,) = [read_run_log(path) for path in (tmp_path / "runs").glob("*/kis.jsonl")]
    assert log.end is not None
    assert log.end.achieved_frequency == {"min": 3, "max": 3, "mean": 3}


def test_the_two_commands_of_the_readme_are_targets():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    shown = re.findall(r"^make ([a-z]+)", (ROOT / "README.md").read_text(), re.M)
    assert {"demo", "test"} <= set(shown) <= set(targets)


def keys_with_defaults(cls: type, prefix: str = "") -> dict[str, str]:
    """Every key of a configuration with its default, as kis.yaml writes it."""
    from dataclasses import MISSING, fields, is_dataclass

    from kis_plugin.config.choice import Choice

    found = {}
    for field in fields(cls):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if is_dataclass(default) and not isinstance(default, Choice):
            found |= keys_with_defaults(type(default), f"{prefix}{field.name}.")
        elif field.name != "path":
            found[prefix + field.name] = as_written(default)
    return found


def as_written(default: object) -> str:
    from dataclasses import MISSING

    if default is MISSING:
        return ""
    if isinstance(default, tuple):
        return ", ".join(default) if isinstance(default[0], str) else str(list(default))
    if default is None or isinstance(default, bool):
        return {None: "null", False: "false", True: "true"}[default]
    return str(default)


def test_the_page_of_the_configuration_has_every_key_with_its_default():
    from kis_plugin.config.schema import DEFAULT_FREQUENCY, Config

    rows = re.findall(
        r"^\| `([\w.]+)` \| ([^|]*)\|",
        (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8"),
        re.M,
    )
    expected = keys_with_defaults(Config)
    assert expected["infusion.frequency"] == "null"  # one of three amounts; without any it is this:
    expected["infusion.frequency"] = f"{DEFAULT_FREQUENCY:g}"
    assert [key for key, _ in rows] == list(expected)
    assert {key: default.strip() for key, default in rows} == expected
