"""The page of troubles has a row for every kind of message: what the places begin with that the code names."""

from __future__ import annotations

import ast
import re

from doc_pages import DOCS, ROOT

PAGE = DOCS / "how-to" / "troubleshooting.md"


def rows():
    """The words that the table says messages begin with; rows about paths have prose in their first cell."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        first = line.split(" | ")[0].removeprefix("| ")
        if line.startswith("| `") and re.fullmatch(r"`[^`]+`(, `[^`]+`)*", first):
            yield re.findall(r"`([^`]+)`", first)


def text_of(node, constants):
    """What an expression is known to begin with: a literal, a name for one, or the first part of an f-string."""
    if isinstance(node, ast.JoinedStr) and node.values:
        first = node.values[0]
        node = first.value if isinstance(first, ast.FormattedValue) else first
    if isinstance(node, ast.Constant):
        return str(node.value)
    return constants.get(node.id, "") if isinstance(node, ast.Name) else ""


def places():
    """What the places of problems begin with, over all packages; those that begin with a variable have a path there."""
    for top in ("kis_plugin", "adapters", "predictor"):
        for file in sorted((ROOT / top).rglob("*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            constants = {
                target.id: node.value.value
                for node in tree.body
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            for node in ast.walk(tree):
                called = getattr(node, "func", None)
                if "Problem" not in (getattr(called, "id", ""), getattr(called, "attr", "")) or not node.args:
                    continue
                if found := text_of(node.args[0], constants):
                    yield found, file.relative_to(ROOT).as_posix()


def test_every_message_has_a_row():
    known = tuple(word for words in rows() for word in words)
    found = list(places())
    assert len(found) > 150
    assert [(text, file) for text, file in found if not text.startswith(known)] == []


def test_every_row_is_about_a_message():
    texts = {text for text, _ in places()}
    assert [word for words in rows() for word in words if not any(text.startswith(word) for text in texts)] == []


def test_the_message_that_is_shown_is_printed(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from kis_plugin.cli.main import main

    monkeypatch.chdir(tmp_path)
    (shown,) = re.findall(r"^kis: kis\.yaml:.*$", PAGE.read_text(encoding="utf-8"), re.M)
    (tmp_path / "facts.jsonl").write_text('{"subject": "a", "relation": "r", "object": "b"}\n')
    (tmp_path / "kis.yaml").write_text("# Facts\nknowledge: facts.jsonl\ninfusion:\n  freqency: 64\n")
    done = CliRunner().invoke(main, ["check", "kis.yaml"])
    assert (done.exit_code, done.stderr) == (2, shown + "\n")
