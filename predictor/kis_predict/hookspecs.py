"""Hooks of kis-predict: what other distributions can add to it."""

from __future__ import annotations

from collections.abc import Callable

from kis_plugin.hook_markers import hookspec
from kis_predict.protocols import Law, LogReader


@hookspec
def kis_register_log_readers(register: Callable[[LogReader], None]) -> None:
    """Add log readers: call ``register(reader)`` for each. The first that claims a file reads it."""


@hookspec
def kis_register_laws(register: Callable[[Law], None]) -> None:
    """Add scaling laws: call ``register(law)`` for each."""
