"""Registers the probes that a model answers in its own words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kis_plugin.hook_markers import hookimpl

if TYPE_CHECKING:
    from kis_plugin.retention.protocols import ProbeKind


@hookimpl
def kis_register_probes(register: Callable[[ProbeKind], None]) -> None:
    """Add the free-form probes."""
    from kis_plugin.free_form.probes import ANSWERED

    for kind in ANSWERED:
        register(kind)
