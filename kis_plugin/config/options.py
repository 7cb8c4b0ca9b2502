"""The options of a choice: checked against the dataclass that the choice names, then bound to it."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args

from kis_plugin.config.choice import Choice
from kis_plugin.config.validate import expected_type, show
from kis_plugin.errors import KISError, Problem, nearest
from kis_plugin.registry import find

__all__ = ["below", "choice_problems", "chosen"]


def chosen(kind: str, choice: Choice, where: str) -> Any:
    """Return what is registered under the choice's name, a dataclass with the options as its fields.

    Args:
        kind: What ``kis_plugin.registry.registered`` takes.
        choice: What the configuration says.
        where: What errors call it.

    Raises:
        KISError: No such name, no such option, a value of another type or one that the thing itself refuses.
    """
    problems = list(choice_problems(kind, choice, where))
    if problems:
        raise KISError(problems)
    item = find(kind, choice.name, where)
    return _with(item, choice.options) if choice.options else item


def choice_problems(
    kind: str, choice: Choice, where: str, option_where: Mapping[str, str] | None = None
) -> Iterator[Problem]:
    """Yield everything wrong with a choice.

    Args:
        kind: What ``kis_plugin.registry.registered`` takes.
        choice: What the configuration says.
        where: What errors call it.
        option_where: What errors call an option, where that is more than its key below ``where``.
    """
    try:
        item = find(kind, choice.name, where)
    except KISError as error:
        yield from error.problems
        return
    at = {key: f"{where}.{key}" for key in choice.options} | dict(option_where or {})
    types_ = _types(item)
    unfit = {key: problem for key in choice.options if (problem := _unfit(choice, key, types_, at[key]))}
    yield from unfit.values()
    fit = {key: value for key, value in choice.options.items() if key not in unfit}
    yield from _refused(item, Choice(choice.name, fit), where, at)


def below(choice: Choice, folder: Path, kind: str) -> Choice:
    """Return a choice with relative paths among its options taken from ``folder``."""
    types_ = _types(find(kind, choice.name, kind))
    options = {
        key: str(folder / value) if isinstance(value, str) and _takes_path(types_[key]) else value
        for key, value in choice.options.items()
    }
    return Choice(choice.name, options)


def _unfit(choice: Choice, key: str, types_: Mapping[str, Any], where: str) -> Problem | None:
    """Return what is wrong with an option by its name or its type alone."""
    if key not in types_:
        if not types_:
            return Problem(where, "an option", f"none: {choice.name} takes no options")
        return Problem(where, "an unknown option", f"one of {', '.join(types_)}", nearest(key, types_))
    value = choice.options[key]
    expected = expected_type(value, types_[key])
    return Problem(where, show(value), expected) if expected else None


def _refused(item: Any, choice: Choice, where: str, at: Mapping[str, str]) -> Iterator[Problem]:
    """Yield what the registered class refuses: single options if it refuses any, otherwise their combination."""
    together = _refusal(item, choice.options)
    if not together:
        return
    alone = {key: _refusal(item, {key: value}) for key, value in choice.options.items()}
    for key, reason in alone.items():
        if reason:
            yield Problem(at[key], repr(choice.options[key]), reason)
    if not any(alone.values()):
        yield Problem(where, f"{choice}", together)


def _refusal(item: Any, options: Mapping[str, Any]) -> str:
    if not options:
        return ""
    try:
        _with(item, options)
    except (TypeError, ValueError) as error:
        return str(error) or type(error).__name__
    return ""


def _with(item: Any, options: Mapping[str, Any]) -> Any:
    types_ = _types(item)
    paths = {key: Path(value) for key, value in options.items() if isinstance(value, str) and _takes_path(types_[key])}
    return replace(item, **{**options, **paths})


def _takes_path(hint: Any) -> bool:
    return hint is Path or Path in get_args(hint)


def _types(item: Any) -> dict[str, Any]:
    """Return the type of each option of a registered thing."""
    if not is_dataclass(item):
        return {}
    try:
        hints = typing.get_type_hints(type(item))
    except NameError as error:
        where = f"plugin {type(item).__module__}.{type(item).__qualname__}"
        raise KISError(Problem(where, f"{error}", "fields whose types are imported when it runs")) from error
    return {spec.name: hints[spec.name] for spec in fields(item) if spec.name != "name" and spec.init}
