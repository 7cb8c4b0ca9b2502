"""Registers ``kis count``, and what runs do with its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kis_plugin.hook_markers import hookimpl

if TYPE_CHECKING:
    import click

    from kis_plugin.knowledge.protocols import Selection
    from kis_plugin.run.context import TrainingRun
    from kis_plugin.run.protocols import RunPlugin


@hookimpl
def kis_register_commands(register: Callable[[click.Command], None]) -> None:
    """Add ``kis count``."""
    from kis_plugin.counting.command import count

    register(count)


@hookimpl
def kis_register_selections(register: Callable[[Selection], None]) -> None:
    """Add ``uncounted``."""
    from kis_plugin.counting.uncounted import Uncounted

    register(Uncounted())


@hookimpl
def kis_register_run_plugins(register: Callable[[Callable[[TrainingRun], RunPlugin]], None]) -> None:
    """Add accuracy by count to every run."""
    from kis_plugin.counting.plugin import RetentionByCount

    register(RetentionByCount)
