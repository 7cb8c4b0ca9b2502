"""Registers ``kis init`` and its hook."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kis_plugin.hook_markers import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def kis_add_hookspecs(add: Callable[[object], None]) -> None:
    """Declare the hook of ``kis_plugin.starter.hookspecs``."""
    from kis_plugin.starter import hookspecs

    add(hookspecs)


@hookimpl
def kis_register_commands(register: Callable[[click.Command], None]) -> None:
    """Add ``kis init``."""
    from kis_plugin.starter.command import init

    register(init)
