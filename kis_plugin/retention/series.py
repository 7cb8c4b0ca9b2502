"""Names of the probe series, as the run log has them."""

from __future__ import annotations

__all__ = ["ABOVE_CONTROL", "BACKGROUND", "CONTROL", "HELD_OUT", "KNOWN", "QA", "QA_ANSWER", "SEEN", "SUPERSEDED"]

HELD_OUT = "held_out"
"""Infused facts by a template that training never used: retention proper."""
SEEN = "seen"
"""Infused facts by a template that training used."""
CONTROL = "control"
"""Facts that are never infused."""
ABOVE_CONTROL = "above_control"
"""By how much the accuracy of ``held_out`` exceeds that of ``control``: no questions of its own."""
KNOWN = "known"
"""Facts that the model knew before the first step (``infusion.skip_known``)."""
SUPERSEDED = "replaced"
"""A fact against the one that it superseded."""
BACKGROUND = "background"
"""Facts that the base data teaches (``retention.background``)."""
QA = "qa"
"""The user's own questions (``retention.qa``), with answer options."""
QA_ANSWER = "qa_answer"
"""The same questions, answered freely."""
