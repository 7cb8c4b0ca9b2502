"""The JSON schema of what ``kis-predict --json`` prints, derived from the dataclasses of the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from inspect import cleandoc, getdoc
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from kis_predict.report.as_json import Answer

__all__ = ["json_schema"]

_PLAIN: Mapping[Any, Mapping[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": ["number", "null"]},  # null: not finite
    NoneType: {"type": "null"},
    Any: {},
}


def json_schema() -> dict[str, Any]:
    """Return the schema, of JSON Schema draft 2020-12."""
    title = "What kis-predict --json prints"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **_of_dataclass(Answer)}


def _schema(hint: Any) -> dict[str, Any]:
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    if is_dataclass(hint) and isinstance(hint, type):
        return _of_dataclass(hint)
    origin, inside = get_origin(hint), get_args(hint)
    return _OF_ORIGIN[origin](inside)


def _of_dataclass(kind: type) -> dict[str, Any]:
    hints, meanings = get_type_hints(kind), _meanings(kind)
    properties = {}
    for field in fields(kind):
        if issubclass(kind, Answer) and field.name == "sizes":  # printed as groups
            continue
        meaning = {"description": meanings[field.name]} if field.name in meanings else {}
        properties[field.name] = _schema(hints[field.name]) | meaning
    return {
        "type": "object",
        "description": (getdoc(kind) or "").partition("\n")[0],
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _union(inside: tuple[Any, ...]) -> dict[str, Any]:
    schemas = [_schema(hint) for hint in inside]
    if all(set(schema) == {"type"} for schema in schemas):
        kinds = [kind for schema in schemas for kind in _listed(schema["type"])]
        return {"type": list(dict.fromkeys(kinds))}
    return {"anyOf": schemas}


def _listed(kind: str | list[str]) -> list[str]:
    return [kind] if isinstance(kind, str) else kind


def _tuple(inside: tuple[Any, ...]) -> dict[str, Any]:
    if inside[1:] == (Ellipsis,):
        return {"type": "array", "items": _schema(inside[0])}
    return {"type": "array", "prefixItems": [_schema(hint) for hint in inside], "minItems": len(inside), "items": False}


_OF_ORIGIN: Mapping[Any, Callable[[tuple[Any, ...]], dict[str, Any]]] = {
    Literal: lambda inside: {"enum": list(inside)},
    Union: _union,
    UnionType: _union,
    tuple: _tuple,
    get_origin(Mapping[str, int]): lambda inside: {"type": "object", "additionalProperties": _schema(inside[1])},
}


@cache
def _meanings(kind: type) -> Mapping[str, str]:
    """Return what the docstrings of a dataclass and of those that it extends say of its fields."""
    found: dict[str, str] = {}
    for parent in reversed(kind.__mro__):
        _, _, attributes = cleandoc(parent.__doc__ or "").partition("Attributes:\n")
        for name, text in re.findall(r"^    (\w+): (.*(?:\n      +.*)*)", attributes, re.MULTILINE):
            found[name] = " ".join(text.split())
    return found
