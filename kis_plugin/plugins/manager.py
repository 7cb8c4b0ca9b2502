"""Loads plugins: those of KIS first, then all others of entry-point group ``kis_plugin``."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from kis_plugin.errors import KISError, Problem, nearest
from kis_plugin.escapes import to_stderr
from kis_plugin.hook_markers import PROJECT
from kis_plugin.plugins import hookspecs

__all__ = ["BUILT_IN", "ENTRY_POINTS", "add", "implementations", "kinds", "new_manager", "plugin_manager"]

ENTRY_POINTS = "kis_plugin"
BUILT_IN = (
    "kis_plugin.cli.builtin",
    "kis_plugin.counting.builtin",
    "kis_plugin.difference.builtin",
    "kis_plugin.free_form.builtin",
    "kis_plugin.probe_kinds.builtin",
    "kis_plugin.starter.builtin",
    "kis_plugin.summary.builtin",
    "kis_plugin.synthetic.builtin",
)
"""Modules of the core that register what KIS ships. Adapters, predictor and sweep are entry points, as all plugins."""

_REGISTER = "kis_register_"
_DISTRIBUTION = "kis-plugin"


@cache
def plugin_manager() -> pluggy.PluginManager:
    """Return the process's plugin manager with every installed plugin loaded.

    Raises:
        KISError: A plugin cannot be imported, or implements a hook that does not exist.
    """
    manager = new_manager()
    plugins = [(name, importlib.import_module(name), f"plugin {name}") for name in BUILT_IN]
    plugins += [_loaded(point) for point in sorted(entry_points(group=ENTRY_POINTS), key=_own_first)]
    # Hooks of plugins are declared before any plugin is registered: one may implement the hooks of another.
    for _, plugin, _ in plugins:
        if hasattr(plugin, "kis_add_hookspecs"):
            plugin.kis_add_hookspecs(add=manager.add_hookspecs)
    for name, plugin, where in plugins:
        add(manager, plugin, name, where)
        events = [name for name in dir(plugin) if name in hookspecs.RUN_EVENTS]
        if events:
            hint = "Put them on an object that kis_register_run_plugins makes for each run."
            raise KISError(Problem(where, f"run events {', '.join(events)}, never called there", "no events", hint))
    return manager


def implementations(hook: str) -> list[Callable[..., None]]:
    """Return the installed implementations of a hook in order of registration, those of KIS first."""
    # pluggy calls the last registered first; get_hookimpls keeps the order.
    return [implementation.function for implementation in getattr(plugin_manager().hook, hook).get_hookimpls()]


def kinds() -> list[str]:
    """Return the kinds of items that plugins can register, in the order in which their hooks are declared."""
    return [name.removeprefix(_REGISTER) for name in _hooks_of(plugin_manager()) if name.startswith(_REGISTER)]


def new_manager() -> pluggy.PluginManager:
    """Return an empty manager that knows the core's hooks; ``KIS_TRACE_HOOKS=1`` makes it print each call."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    if os.environ.get("KIS_TRACE_HOOKS", "0") not in ("", "0"):
        manager.add_hookcall_monitoring(_trace_call, _trace_result)
    return manager


def _own_first(point: EntryPoint) -> tuple[bool, str]:
    return point.dist is None or point.dist.name != _DISTRIBUTION, point.name


def _loaded(point: EntryPoint) -> tuple[str, Any, str]:
    """Import the plugin of an entry point and return its name, the plugin, and what errors call it."""
    where = f"plugin {point.name!r} ({point.value}, from {point.dist.name if point.dist else 'unknown'})"
    try:
        return point.name, point.load(), where
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        hint = "Mend or uninstall that distribution; KIS never runs without a plugin that is installed."
        raise KISError(Problem(where, found, "a plugin that imports", hint)) from error


def _hooks_of(manager: pluggy.PluginManager) -> list[str]:
    return [name for name, caller in vars(manager.hook).items() if name.startswith("kis_") and caller.has_spec()]


def add(manager: pluggy.PluginManager, plugin: object, name: str, where: str) -> None:
    """Register a plugin, or raise a KISError that says what is wrong with it."""
    refuse_unknown_hooks(manager, plugin, where)
    try:
        manager.register(plugin, name)
    except (ValueError, pluggy.PluginValidationError) as error:
        found = str(error).splitlines()[-1] if isinstance(error, pluggy.PluginValidationError) else str(error)
        expected = "hooks with the arguments of docs/reference/hooks.md, and a name of its own"
        raise KISError(Problem(where, found, expected)) from error


def refuse_unknown_hooks(manager: pluggy.PluginManager, plugin: object, where: str) -> None:
    """Refuse hook implementations that no hook answers to, and ``kis_`` functions without ``@hookimpl``.

    pluggy itself would never call either, in silence.
    """
    known = set(_hooks_of(manager))
    problems = []
    for name in dir(plugin):
        marked = getattr(getattr(plugin, name, None), f"{PROJECT}_impl", None) is not None
        if name in known and not marked and callable(getattr(plugin, name)):
            problems.append(Problem(f"{where} {name}", "a function without @hookimpl", "@kis_plugin.hookimpl above it"))
        elif name not in known and (marked or (name.startswith("kis_") and callable(getattr(plugin, name)))):
            problems.append(Problem(f"{where} {name}", "no hook of that name", "a hook of KIS", nearest(name, known)))
    if problems:
        raise KISError(problems)


def _trace_call(hook_name: str, hook_impls: Sequence[pluggy.HookImpl], kwargs: Mapping[str, Any]) -> None:
    names = ", ".join(impl.plugin_name for impl in hook_impls) or "nobody"
    values = ", ".join(f"{key}={str(value)[:60]}" for key, value in kwargs.items())
    to_stderr(f"kis: {hook_name}({values}) -> {names}")


def _trace_result(outcome: pluggy.Result[Any], hook_name: str, hook_impls: object, kwargs: object) -> None:
    if outcome.exception:
        to_stderr(f"kis: {hook_name} raised {outcome.exception!r}")
