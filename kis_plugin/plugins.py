"""The plugin manager: built-ins first, registered like anyone's, then entry points of group ``kis_plugin``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import pluggy

from kis_plugin import hookspecs
from kis_plugin.errors import KISError, Problem, nearest

__all__ = ["ENTRY_POINTS", "defined_in", "find", "plugin_manager", "registered"]

ENTRY_POINTS = "kis_plugin"

# Each registers itself through the hooks of hookspecs.py; modules import their heavy libraries when they are used.
BUILT_IN = ("kis_plugin.builtin", "kis_predict.builtin", "kis_sweep.builtin", "kis_litgpt.commands", "kis_hf.commands")

KINDS = (
    "sources", "templates", "schedules", "renderers", "selections", "probes", "model_loaders", "frameworks",
    "log_readers", "laws", "commands",
)  # fmt: skip


@cache
def plugin_manager() -> pluggy.PluginManager:
    """Return the process's plugin manager with every installed plugin loaded.

    Raises:
        KISError: A plugin that cannot be imported, or one that implements a hook which does not exist.
    """
    manager = new_manager()
    for name in BUILT_IN:
        manager.register(importlib.import_module(name), name)
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        where = f"plugin {point.name!r} ({point.value}, from {point.dist.name if point.dist else 'unknown'})"
        try:
            plugin = point.load()
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
            hint = "Mend or uninstall that distribution; KIS never runs without a plugin that is installed."
            raise KISError(Problem(where, found, "a plugin that imports", hint)) from error
        add(manager, plugin, point.name, where)
        events = [name for name in dir(plugin) if name in hookspecs.hooks() and not name.startswith("kis_register_")]
        if events:
            hint = "Put them on an object that kis_register_run_plugins makes for each run."
            raise KISError(
                Problem(where, f"run events {', '.join(events)}, which nobody would call", "no events", hint)
            )
    return manager


def new_manager() -> pluggy.PluginManager:
    """Return an empty manager that knows the hooks; ``KIS_TRACE_HOOKS=1`` makes it print each call."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    if os.environ.get("KIS_TRACE_HOOKS", "0") not in ("", "0"):
        manager.add_hookcall_monitoring(_trace_call, _trace_result)
    return manager


def add(manager: pluggy.PluginManager, plugin: object, name: str, where: str) -> None:
    """Register a plugin, or raise a KISError that says what is wrong with it."""
    refuse_unknown_hooks(plugin, where)
    try:
        manager.register(plugin, name)
    except (ValueError, pluggy.PluginValidationError) as error:
        found = str(error).splitlines()[-1] if isinstance(error, pluggy.PluginValidationError) else str(error)
        expected = "hooks with the arguments of docs/plugins.md, and a name of its own"
        raise KISError(Problem(where, found, expected)) from error


def refuse_unknown_hooks(plugin: object, where: str) -> None:
    """Refuse hook implementations that no hook answers to, and ``kis_`` functions without ``@hookimpl``.

    pluggy itself would never call either, in silence.
    """
    known = set(hookspecs.hooks())
    problems = []
    for name in dir(plugin):
        marked = getattr(getattr(plugin, name, None), f"{hookspecs.PROJECT}_impl", None) is not None
        if name in known and not marked and callable(getattr(plugin, name)):
            problems.append(Problem(f"{where} {name}", "a function without @hookimpl", "@kis_plugin.hookimpl above it"))
        elif name not in known and (marked or (name.startswith("kis_") and callable(getattr(plugin, name)))):
            problems.append(Problem(f"{where} {name}", "no hook of that name", "a hook of KIS", nearest(name, known)))
    if problems:
        raise KISError(problems)


@cache
def registered(kind: str) -> dict[str, Any]:
    """Return what plugins registered of one kind (see ``KINDS``), by name, in order of registration.

    Raises:
        KISError: Two plugins that registered the same name.
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

    # pluggy calls the last registered first; here built-ins keep the front.
    hook = getattr(plugin_manager().hook, f"kis_register_{kind}")
    for implementation in hook.get_hookimpls():
        implementation.function(register=register)
    return found


def defined_in(item: Any) -> tuple[str, str]:
    """Return the module and the name of what a registered thing is made by: its class, or a command's function."""
    made_by = getattr(item, "callback", None) or type(item)
    return made_by.__module__, made_by.__qualname__


def find(kind: str, name: str, where: str) -> Any:
    """Return the thing of ``kind`` called ``name``, or raise a KISError at ``where`` that names the nearest."""
    items = registered(kind)
    if name not in items:
        raise KISError(Problem(where, repr(name), f"one of the installed {kind}", nearest(name, items)))
    return items[name]


def _trace_call(hook_name: str, hook_impls: Sequence[pluggy.HookImpl], kwargs: Mapping[str, Any]) -> None:
    names = ", ".join(impl.plugin_name for impl in hook_impls) or "nobody"
    values = ", ".join(f"{key}={str(value)[:60]}" for key, value in kwargs.items())
    sys.stderr.write(f"kis: {hook_name}({values}) -> {names}\n")


def _trace_result(outcome: pluggy.Result[Any], hook_name: str, hook_impls: object, kwargs: object) -> None:
    if outcome.exception:
        sys.stderr.write(f"kis: {hook_name} raised {outcome.exception!r}\n")
