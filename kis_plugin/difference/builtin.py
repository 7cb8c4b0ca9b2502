"""Registers difference sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kis_plugin.hook_markers import hookimpl

if TYPE_CHECKING:
    from kis_plugin.knowledge.protocols import Selection


@hookimpl
def kis_register_selections(register: Callable[[Selection], None]) -> None:
    """Add ``difference``."""
    from kis_plugin.difference.selection import Difference

    register(Difference())
