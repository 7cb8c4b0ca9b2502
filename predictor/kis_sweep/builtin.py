"""Registers the hooks and the command of sweeps, as any plugin does. Modules are imported when a hook is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kis_plugin.hook_markers import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def kis_add_hookspecs(add: Callable[[object], None]) -> None:
    """Declare the hooks of ``kis_sweep.hookspecs``."""
    from kis_sweep import hookspecs

    add(hookspecs)


@hookimpl
def kis_register_commands(register: Callable[[click.Command], None]) -> None:
    """Add ``kis sweep`` and ``kis demo``."""
    from kis_sweep.command import sweep
    from kis_sweep.demo import demo

    register(sweep)
    register(demo)
