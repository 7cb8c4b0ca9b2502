"""Registers the free-form probes and their scorer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kis_plugin.hook_markers import hookimpl

if TYPE_CHECKING:
    from kis_plugin.retention.protocols import AnswerScorer, ProbeKind


@hookimpl
def kis_register_probes(register: Callable[[ProbeKind], None]) -> None:
    """Add ``cloze`` and ``answer``."""
    from kis_plugin.free_form.probes import FREE_FORM_KINDS

    for kind in FREE_FORM_KINDS:
        register(kind)


@hookimpl
def kis_register_scorers(register: Callable[[AnswerScorer], None]) -> None:
    """Add greedy decoding."""
    from kis_plugin.free_form.scoring import FreeFormScoring

    register(FreeFormScoring())
