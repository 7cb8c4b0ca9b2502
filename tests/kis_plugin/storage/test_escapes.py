"""Nothing from a file commands the terminal: control, escape and bidirectional characters are shown as text."""

from __future__ import annotations

import ast
import io
import json
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress, TextColumn
from rich.text import Text

from kis_plugin.cli.main import main
from kis_plugin.errors import KISError, Problem
from kis_plugin.escapes import escaped, to_stderr
from kis_plugin.knowledge.sources.bear import BearSource
from kis_plugin.plugins.manager import new_manager
from kis_plugin.storage.terminal import echo, safe_console, table
from tests.test_architecture import FILES

ATTACKS = {
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://x\x1b\\",
    "clipboard": "\x1b]52;c;aGk=\x07",
    "colour": "\x1b[31m",
    "c1": "\x9b31m",
    "overwrite": "good\rbad",
    "backspace": "good\b\b\b\bbad",
    "direction": "\u202egnp.exe",
    "isolate": "\u2066x\u2069",
    "line": "a\u2028b",
    "tag": "a\U000e0041",
}
attacks = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


def is_safe(text: str) -> bool:
    return escaped(text, keep="\n\t") == text


@attacks
def test_attacks_become_visible(attack):
    shown = escaped(attack)
    assert is_safe(shown)
    assert "\\" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\x1b[0m", r"\x1b[0m"), ("a\nb", r"a\nb"), ("\u202e", r"\u202e"), ("\x9b", r"\x9b"), ("\ud800", r"\ud800")],
)
def test_each_character_has_its_name(text, shown):
    assert escaped(text) == shown


@pytest.mark.parametrize("text", ["Zoë Müller", "한국", "a \\ b", "😀", "e\u0301", "क\u094dष"])
def test_other_text_is_unchanged(text):
    assert escaped(text) == text


@given(st.text())
def test_escaped_text_is_safe_and_stable(text):
    shown = escaped(text)
    assert is_safe(shown)
    assert escaped(shown) == shown


@attacks
def test_errors_are_escaped(attack):
    assert is_safe(str(KISError(Problem(f"f{attack}:1", attack, attack, attack))))


@attacks
def test_tables_and_lines_of_a_console_are_escaped(attack):
    out = io.StringIO()
    console = safe_console(file=out, width=200, highlight=False)
    shown = table("name")
    shown.add_row(attack)
    shown.add_row(Text(attack))
    console.print(shown)
    console.print(attack)
    console.print(Text(attack))
    assert is_safe(out.getvalue())
    assert out.getvalue().count(escaped(attack)) >= 2  # rich itself drops some from its own Text


@attacks
def test_the_command_line_shows_names_of_files_escaped(tmp_path, monkeypatch, attack):
    monkeypatch.chdir(tmp_path)
    name = attack.replace("/", "")
    (tmp_path / name).write_text("x")
    (tmp_path / "kis.yaml").write_text(json.dumps({"knowledge": "facts.csv", name: 1}))
    for arguments in (["check", name], ["check", "kis.yaml"], ["check", "kis.yaml", name], [name]):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 2
        assert is_safe(done.output)


@attacks
def test_lines_on_stdout_and_stderr_are_escaped(attack, capsys):
    echo(attack)
    to_stderr(attack)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == (escaped(attack) + "\n",) * 2


@attacks
def test_progress_bars_show_what_they_are_named_after_escaped(attack):
    out = io.StringIO()
    columns = TextColumn("{task.description}", markup=False)
    with Progress(columns, console=safe_console(file=out, width=200, force_terminal=False)) as progress:
        progress.add_task(f"[bold]{attack}", total=1)
    assert is_safe(out.getvalue())
    assert "[bold]" in out.getvalue()


@attacks
def test_traced_hooks_are_shown_escaped(attack, monkeypatch, capsys):
    monkeypatch.setenv("KIS_TRACE_HOOKS", "1")
    new_manager().hook.kis_retention_records(step=1, outcomes=attack, facts_of=None, records=[], run=None)
    shown = capsys.readouterr().err
    assert "kis_retention_records" in shown
    assert is_safe(shown)


@attacks
def test_warnings_about_files_are_escaped(attack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path(attack.replace("/", ""))
    folder.mkdir()
    facts = ({"sub_id": "Q1", "sub_label": name, "obj_id": "Q2", "obj_label": "Lima"} for name in ("Peru", ""))
    (folder / "P36.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    (folder / "metadata_relations.json").write_text('{"P36": {"templates": ["[X] has capital [Y].", "[X]: [Y]"]}}')
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(BearSource().read(folder)) == 1
    (one,) = caught
    assert is_safe(str(one.message))


def _unescaped(tree: ast.AST) -> list[str]:
    """Return the calls that bring text to a terminal by another way than those that escape it."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name, first = ast.unparse(node.func), ast.unparse(node.args[0]) if node.args else ""
        if (
            name in ("print", "Console", "sys.stdout.write", "sys.stderr.write", "click.secho", "logging.getLogger")
            or (name == "click.echo" and not first.startswith(("json.dumps(", "escaped(", "captured.get(")))
            or (name == "warnings.warn" and not first.startswith("escaped("))
            or (name == "TextColumn" and "markup=False" not in ast.unparse(node) and "task.description" in first)
        ):
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("module", sorted(set(FILES) - {"kis_plugin.escapes"}))
def test_text_reaches_the_terminal_only_where_it_is_escaped(module):
    assert _unescaped(ast.parse(FILES[module].read_text("utf-8"))) == []


def test_unescaped_output_is_noticed():
    source = "print(a)\nclick.echo(f'{a}')\nwarnings.warn(a)\nConsole(stderr=True)\nTextColumn('{task.description}')"
    assert len(_unescaped(ast.parse(source))) == 5
