"""Nothing from a file commands the terminal: control, escape and bidirectional characters are shown as text."""

from __future__ import annotations

import io
import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from kis_plugin.cli.main import main
from kis_plugin.errors import KISError, Problem
from kis_plugin.escapes import escaped
from kis_plugin.storage.terminal import safe_console, table

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
    for arguments in (["check", name], ["check", "kis.yaml"]):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 2
        assert is_safe(done.output)
