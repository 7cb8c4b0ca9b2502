"""Validates what was read against a dataclass: pydantic finds what is wrong, and each finding becomes a ``Problem``.

A dataclass is validated as it stands: its field types hold rules (``rules.py``), its docstrings describe the keys.
All problems are found at once. Each names file and line, what was found, what was expected, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, get_type_hints

from kis_plugin.errors import Problem, nearest
from kis_plugin.storage.yaml_nodes import Node

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["WORDS", "Validated", "adapter_of", "expected_of", "expected_type", "show", "validate"]

T = TypeVar("T")
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}

WORDS = {
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "text",
    "string_unicode": "text",
    "bool_type": "true or false",
    "path_type": "a path",
    "is_instance_of": "a path",
    "dict_type": "an object",
    "mapping_type": "an object",
    "greater_than_equal": "a number that is not negative",
    "less_than_equal": "a number that fits 63 bits",
}
"""What an error says was expected, by the type of pydantic's error; rules bring words of their own."""


@dataclass(frozen=True)
class Validated(Generic[T]):
    """What validation found.

    Attributes:
        value: The dataclass; None where anything is wrong.
        problems: All that is wrong, in the order of the file.
        right: The values as written, without those that are wrong.
    """

    value: T | None
    problems: tuple[Problem, ...] = ()
    right: Mapping[str, Any] = field(default_factory=dict)


def adapter_of(keys: Any) -> TypeAdapter[Any]:
    """Return pydantic's validator of a dataclass, or of any type; each is built once."""
    from pydantic import TypeAdapter

    if keys not in _ADAPTERS:
        _ADAPTERS[keys] = TypeAdapter(keys)
    return _ADAPTERS[keys]


def validate(
    keys: type[T],
    node: Node,
    file: str,
    context: Mapping[str, Any] | None = None,
    renamed: Mapping[str, str] | None = None,
    missing: Mapping[str, tuple[str, str]] | None = None,
) -> Validated[T]:
    """Validate the keys of a file.

    Args:
        keys: The dataclass that says which keys there are, with its rules.
        node: What was read.
        file: What errors call a file of this kind.
        context: Values that rules read: ``folder``, from which relative paths are taken.
        renamed: New names of dotted keys that were renamed, each as a sentence.
        missing: For required keys: what was expected, and what to do.
    """
    from pydantic import ValidationError

    written = node.plain()
    try:
        return Validated(adapter_of(keys).validate_python(written, context=dict(context or {})), (), written)
    except ValidationError as error:
        found = sorted(error.errors(include_url=False), key=lambda one: _position(node, one["loc"]))
    writer = _Writer(keys, node, file, renamed or {}, missing or {})
    right = _copy_without(written, {one["loc"] for one in found})
    return Validated(None, tuple(writer.problem(one["type"], one["loc"], one.get("ctx", {})) for one in found), right)


@dataclass(frozen=True)
class _Writer:
    """Writes pydantic's errors about one file as problems."""

    keys: type
    node: Node
    file: str
    renamed: Mapping[str, str]
    missing: Mapping[str, tuple[str, str]]

    def problem(self, kind: str, loc: tuple[str | int, ...], context: Mapping[str, Any]) -> Problem:
        """Return one error as a problem."""
        key = ".".join(map(str, loc))
        if kind.startswith("missing"):
            parent = _at(self.node, loc[:-1])
            expected, hint = self.missing.get(key, ("a value", ""))
            return Problem(f"{parent.where} {key}", "no such key", expected, hint)
        node = _at(self.node, loc)
        if kind == "unexpected_keyword_argument":
            return self._unknown(node, key, loc)
        where, found = f"{node.where} {key}" if key else node.where, show(node.plain())
        if kind == "dataclass_type":
            hint = f"Leave {key} out to keep its defaults." if key and node.value is None else ""
            return Problem(where, found, f"a mapping of {', '.join(_names(self.keys, loc))}", hint)
        wrong = context.get("error")
        return Problem(where, found, expected_of(kind, context), getattr(wrong, "hint", ""))

    def _unknown(self, node: Node, key: str, loc: tuple[str | int, ...]) -> Problem:
        section = ".".join(map(str, loc[:-1])) or self.file
        if key in self.renamed:
            return Problem(
                f"{node.key_where} {key}", "a key that was renamed", f"a key of {section}", self.renamed[key]
            )
        hint = nearest(loc[-1], _names(self.keys, loc[:-1]))
        return Problem(f"{node.key_where} {key}", "an unknown key", f"a key of {section}", hint)


def expected_of(kind: str, context: Mapping[str, Any]) -> str:
    """Return what an error of pydantic says was expected: the words of a rule, else those for its type."""
    wrong = context.get("error")
    if isinstance(wrong, ValueError):
        return str(wrong)
    if kind == "literal_error":
        return f"one of {context['expected']}"
    return WORDS.get(kind, kind.replace("_", " "))


def expected_type(value: object, hint: Any) -> str:
    """Return what a value of a type would have been, in words; empty where ``value`` is one.

    Types that pydantic cannot check, such as a plugin's own, are left to the plugin.
    """
    from pydantic import PydanticSchemaGenerationError, ValidationError

    options = get_args(hint) or (hint,)
    if isinstance(value, str) and Path in options:
        return ""  # what is written for a path
    try:
        adapter_of(hint).validate_python(value, strict=True)
    except PydanticSchemaGenerationError:
        return ""
    except ValidationError as error:
        words = [expected_of(one["type"], one.get("ctx", {})) for one in error.errors(include_url=False)]
        return " or ".join(dict.fromkeys([*words, *(["nothing"] if type(None) in options else [])]))
    return ""


def show(value: object) -> str:
    """Return a value as an error quotes it: short, and escaped."""
    if value is None:
        return "nothing"
    shown = f"{value}".lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _at(node: Node, loc: tuple[str | int, ...]) -> Node:
    """Return the node at a place; the nearest above it where pydantic names what the file does not have."""
    for part in loc:
        if not isinstance(node.value, dict) or part not in node.value:
            break
        node = node.value[part]
    return node


def _position(node: Node, loc: tuple[str | int, ...]) -> tuple[int, ...]:
    """Return where a place stands among the keys of the file; keys that are missing come last."""
    position: list[int] = []
    for part in loc:
        keys = list(node.value) if isinstance(node.value, dict) else []
        if part not in keys:
            return (*position, len(keys))
        position.append(keys.index(part))
        node = node.value[part]
    return tuple(position)


def _names(keys: type, loc: tuple[str | int, ...]) -> list[str]:
    """Return the names of the keys of the section at a place."""
    for part in loc:
        hint = get_type_hints(keys).get(str(part))
        if not (isinstance(hint, type) and is_dataclass(hint)):
            return []
        keys = hint
    return [spec.name for spec in fields(keys)]


def _copy_without(value: Any, places: set[tuple[str | int, ...]], at: tuple[str | int, ...] = ()) -> Any:
    """Return nested mappings without what stands at some places."""
    if at in places or not isinstance(value, dict):
        return {} if not at else value
    return {key: _copy_without(item, places, (*at, key)) for key, item in value.items() if (*at, key) not in places}
