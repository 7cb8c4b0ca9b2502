"""The hook of ``kis init``: frameworks that it writes training scripts for."""

from __future__ import annotations

from collections.abc import Callable

from kis_plugin.hook_markers import hookspec
from kis_plugin.starter.protocols import Starter


@hookspec
def kis_register_starters(register: Callable[[Starter], None]) -> None:
    """Add frameworks to ``kis init --for``: call ``register(starter)`` for each."""
