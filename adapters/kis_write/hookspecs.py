"""The hook of ``kis write``: file formats that other distributions add."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kis_plugin.hook_markers import hookspec

if TYPE_CHECKING:
    from kis_write.protocols import Format


@hookspec
def kis_register_formats(register: Callable[[Format], None]) -> None:
    """Add file formats: call ``register(format)`` for each."""
