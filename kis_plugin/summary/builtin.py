"""Registers what shows a run: its table and summary while it trains, and ``kis show``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kis_plugin.hook_markers import hookimpl

if TYPE_CHECKING:
    import click

    from kis_plugin.run.context import TrainingRun
    from kis_plugin.run.protocols import RunPlugin


@hookimpl
def kis_register_commands(register: Callable[[click.Command], None]) -> None:
    """Add ``kis show``."""
    from kis_plugin.summary.show_command import show

    register(show)


@hookimpl
def kis_register_run_plugins(register: Callable[[Callable[[TrainingRun], RunPlugin]], None]) -> None:
    """Show every run while it trains."""
    from kis_plugin.summary.plugin import RunDisplay

    register(RunDisplay)
