"""Reads YAML as plain data with line numbers. Tags, aliases and repeated keys are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.regular_files import refuse_special_file

__all__ = ["Node", "read_yaml"]

MOST_BYTES = 1_000_000  # it may come from someone else, and takes minutes a hundred megabytes


@dataclass(frozen=True)
class Node:
    """A value and its position.

    Attributes:
        value: None, a bool, a number or text; a list of nodes; or a dict from key to node.
        where: ``file:line``.
        key_where: ``file:line`` of its key; empty where there is none.
    """

    value: Any
    where: str
    key_where: str = ""

    def plain(self) -> Any:
        """Return the value without positions."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


class _Composer(yaml.SafeLoader):
    """Composes nodes by the YAML 1.2 core schema: ``on`` and ``1:30`` are text, ``1e3`` is a number, ``010`` is 10."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (as PyYAML names it)

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse aliases (ten lines of them expand to a billion values) and tags (they can name code)."""
        event: Any = super().peek_event()  # type: ignore[no-untyped-call]
        tag = getattr(event, "tag", None)
        refused = "an alias (*)" if isinstance(event, yaml.AliasEvent) else f"a tag ({tag})" if tag else ""
        if refused:
            raise yaml.MarkedYAMLError(problem=refused, problem_mark=event.start_mark)
        return super().compose_node(parent, index)


_SCALARS: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    "null": (r"~|null|Null|NULL|", "~nN", lambda _: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF", lambda text: text.lower() == "true"),
    "int": (r"[-+]?[0-9]{1,400}", "-+0123456789", int),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
        lambda text: float(re.sub(r"\.(?=[iInN])", "", text)),
    ),
}
for _name, (_pattern, _first, _) in _SCALARS.items():
    _letters = [*_first, ""] if _name == "null" else [*_first]
    _Composer.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"(?:{_pattern})$"), _letters)


def read_yaml(path: Path, expected: str) -> Node:
    """Read a YAML file.

    Args:
        path: The file.
        expected: What the file should be, for error messages.

    Raises:
        KISError: The file cannot be read, is not UTF-8, is not YAML, or has an alias, a tag or a repeated key.
    """
    text = _text(path, expected)
    problems: list[Problem] = []
    try:
        root = yaml.compose(text, Loader=_Composer)
        node = Node(None, f"{path}:1") if root is None else _node(root, path, f"{path}:1", "", problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        found = f"{error.context}, {error.problem}" if error.context else str(error.problem)
        raise KISError(Problem(where, found, "YAML of plain values, without tags or aliases")) from error
    except yaml.YAMLError as error:
        raise KISError(Problem(str(path), str(error).splitlines()[0], "YAML")) from error
    except RecursionError as error:
        raise KISError(Problem(str(path), "YAML nested too deeply to read", expected)) from error
    if problems:
        raise KISError(problems)
    return node


def _text(path: Path, expected: str) -> str:
    try:
        refuse_special_file(path)
        if path.is_file() and path.stat().st_size > MOST_BYTES:
            found, hint = f"{path.stat().st_size:,} bytes", "Divide it, or leave out what no run uses."
            raise KISError(Problem(str(path), found, f"{expected}, of at most {MOST_BYTES:,} bytes", hint))
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or str(error)
        raise KISError(Problem(str(path), found[:1].lower() + found[1:], expected)) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"bytes that are not UTF-8 ({raw[error.start : error.start + 4]!r})"
        raise KISError(Problem(f"{path}:{line}", found, "a file in UTF-8")) from error


def _node(node: yaml.Node, path: Path, key_where: str, key: str, problems: list[Problem]) -> Node:
    where = f"{path}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.ScalarNode):
        kind = node.tag.rpartition(":")[2]
        return Node(_SCALARS[kind][2](node.value) if kind in _SCALARS else node.value, where, key_where)
    if isinstance(node, yaml.SequenceNode):
        items = (_node(item, path, where, f"{key}[{number}]", problems) for number, item in enumerate(node.value))
        return Node(list(items), where, key_where)
    entries: dict[str, Node] = {}
    for name, value in node.value:
        at = f"{path}:{name.start_mark.line + 1}"
        if not isinstance(name, yaml.ScalarNode):
            problems.append(Problem(at, "a list or mapping as a key", "a name"))
            continue
        dotted = f"{key}.{name.value}" if key else name.value
        if name.value in entries:
            first = entries[name.value].key_where
            problems.append(
                Problem(f"{at} {dotted}", "the key a second time", f"each key once; the first is at {first}")
            )
        entries[name.value] = _node(value, path, at, dotted, problems)
    return Node(entries, where, key_where)
