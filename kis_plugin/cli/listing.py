"""Lists what is registered, and which distribution it comes from: the report of ``kis plugins``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from typing import Any

from kis_plugin.plugins.manager import ENTRY_POINTS, kinds, plugin_manager
from kis_plugin.registry import defined_in, registered

__all__ = ["Registered", "list_registered"]


@dataclass(frozen=True)
class Registered:
    """One thing that a plugin registered.

    Attributes:
        kind: ``sources``, ``laws`` and so on; ``run_plugins`` for those that take part in runs.
        name: The name it is selected by; for a run plugin, that of its factory.
        module: Where it is defined.
        plugin: The plugin that registered it.
        distribution: The installed distribution the plugin is from, with its version.
    """

    kind: str
    name: str
    module: str
    plugin: str
    distribution: str

    def as_json(self) -> dict[str, str]:
        """Return plain JSON values."""
        return asdict(self)


def list_registered() -> list[Registered]:
    """Return everything that is registered, by kind, in order of registration.

    Raises:
        KISError: A plugin that does not load, or two things of one kind and name.
    """
    return [found for kind in kinds() for found in _of_kind(kind)]


def _of_kind(kind: str) -> list[Registered]:
    if kind != "run_plugins":
        registered(kind)  # refuses a name that two plugins gave
    origins = _distributions()
    found = []
    for implementation in getattr(plugin_manager().hook, f"kis_register_{kind}").get_hookimpls():
        given: list[Any] = []
        implementation.function(register=given.append)
        for thing in given:
            name = getattr(thing, "__qualname__", type(thing).__qualname__) if kind == "run_plugins" else thing.name
            plugin = implementation.plugin_name
            origin = origins.get(plugin, f"kis-plugin {_version()}")
            module = getattr(thing, "__module__", "") if kind == "run_plugins" else defined_in(thing)[0]
            found.append(Registered(kind, name, module, plugin, origin))
    return found


def _distributions() -> dict[str, str]:
    points = entry_points(group=ENTRY_POINTS)
    return {point.name: f"{point.dist.name} {point.dist.version}" for point in points if point.dist}


def _version() -> str:
    from kis_plugin import __version__

    return __version__
