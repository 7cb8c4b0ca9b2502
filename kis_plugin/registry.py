"""What plugins registered, by kind and name: sources, schedules, probe kinds and so on.

This module stands at the bottom of the core, so that every folder can look names up. The plugin manager, which depends
on most folders, is therefore imported when the first name is looked up.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from kis_plugin.errors import KISError, Problem, nearest

__all__ = ["defined_in", "find", "registered"]

_MANAGER = "kis_plugin.plugins.manager"


@cache
def registered(kind: str) -> dict[str, Any]:
    """Return what plugins registered of one kind, by name, in order of registration.

    Args:
        kind: What follows ``kis_register_`` in the name of a hook: ``sources``, ``schedules``, ``laws``.

    Raises:
        KISError: Two plugins registered the same name, or one registered something without a name.
    """
    found: dict[str, Any] = {}

    def register(item: Any) -> None:
        where = f"plugin {'.'.join(defined_in(item))}"
        if not isinstance(getattr(item, "name", None), str):
            raise KISError(Problem(where, f"one of {kind} without a name", "an attribute name, a string"))
        if item.name in found:
            expected = f"another name: {'.'.join(defined_in(found[item.name]))} has it"
            raise KISError(Problem(where, f"{kind} name {item.name!r}", expected))
        found[item.name] = item

    for implementation in importlib.import_module(_MANAGER).implementations(f"kis_register_{kind}"):
        implementation(register=register)
    return found


def find(kind: str, name: str, where: str) -> Any:
    """Return the item of ``kind`` called ``name``.

    Raises:
        KISError: There is no such item; the error is at ``where`` and names the nearest.
    """
    items = registered(kind)
    if name not in items:
        raise KISError(Problem(where, repr(name), f"one of the installed {kind}", nearest(name, items)))
    return items[name]


def defined_in(item: Any) -> tuple[str, str]:
    """Return the module and the name of what makes a registered item: its class, or a command's function."""
    made_by = getattr(item, "callback", None) or type(item)
    return made_by.__module__, made_by.__qualname__
