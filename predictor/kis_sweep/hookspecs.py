"""The hook of ``kis sweep``: frameworks that train its runs."""

from __future__ import annotations

from collections.abc import Callable

from kis_plugin.hook_markers import hookspec
from kis_sweep.protocols import Framework


@hookspec
def kis_register_frameworks(register: Callable[[Framework], None]) -> None:
    """Add ways to train the runs of ``kis sweep``: call ``register(framework)`` for each."""
