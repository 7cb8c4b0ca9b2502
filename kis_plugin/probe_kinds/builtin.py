"""Registers the probe kinds beyond single facts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kis_plugin.hook_markers import hookimpl

if TYPE_CHECKING:
    from kis_plugin.retention.protocols import ProbeKind


@hookimpl
def kis_register_probes(register: Callable[[ProbeKind], None]) -> None:
    """Add ``answer_space`` and ``two_hop``."""
    from kis_plugin.probe_kinds.answer_space import AnswerSpaceProbe
    from kis_plugin.probe_kinds.two_hop import TwoHopProbe

    register(AnswerSpaceProbe())
    register(TwoHopProbe())
