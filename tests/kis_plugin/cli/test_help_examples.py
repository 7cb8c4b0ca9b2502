"""The examples of every --help are commands that exist, with options that exist and values that they take."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from kis_plugin.cli.main import main
from kis_predict.cli import command as kis_predict

PROGRAMS = {"kis": main, "kis-predict": kis_predict}


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    """The folder that an argument must name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()


def leaves(command=main, path="kis"):
    """Every command that does something, with its name."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(click.Context(command)):
        yield from leaves(command.get_command(click.Context(command), name), f"{path} {name}")


COMMANDS = dict(leaves()) | {"kis-predict": kis_predict}


def examples_of(command):
    """The lines that begin with a command in the part of the help that is not rewrapped."""
    parts = (command.help or "").split("\b\n")[1:]
    blocks = [part.partition("\n\n")[0] for part in parts]
    return [line for block in blocks for line in re.findall(r"^ *((?:kis|kis-predict) .*)$", block, re.M)]


def parsed(line):
    """Parse a line as the shell and click would; nothing runs."""
    words = shlex.split(line.partition(">")[0])
    command = PROGRAMS[words.pop(0)]
    while isinstance(command, click.Group):
        name = words.pop(0)
        command = command.get_command(click.Context(command), name)
        assert command is not None, name
    command.make_context(command.name, words)
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_parse(name):
    command = COMMANDS[name]
    lines = examples_of(command)
    assert lines, name
    # kis predict is kis-predict.
    assert any(parsed(line).callback is command.callback for line in lines) or name == "kis predict"
    for line in lines:
        parsed(line)


def test_the_group_help_names_commands_that_parse():
    lines = [line for line in examples_of(main) if "..." not in line]
    assert len(lines) >= 8
    for line in lines:
        # A column of words follows after two spaces or more.
        parsed(re.split(r" {2,}", line)[0])


def test_a_wrong_example_would_be_found():
    for line in ("kis probe MODEL", "kis check kis.yaml --no-such", "kis inspect kis.yaml"):
        with pytest.raises(click.UsageError):
            parsed(line)
