"""Tests that plugins and adapters of other distributions are held to, and the small knowledge that they run on.

An adapter's tests are a class of its own with one method::

    from kis_plugin.testing import AdapterSuite

    class TestMyFramework(AdapterSuite):
        def make_host(self, monkeypatch):
            return MyHost()  # a kis_plugin.testing.Host

What a plugin registers is checked by one call each: ``check_schedule``, ``check_source``, ``check_renderer``,
``check_selection``, ``check_probe_kind``, ``check_template_set``. They raise ``AssertionError`` with what is wrong.

``AdapterSuite`` needs pytest; nothing else does, and nothing needs a framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kis_plugin.lazy_names import lazy_names

if TYPE_CHECKING:
    from kis_plugin.testing.adapters import AdapterSuite, Host, Outcome
    from kis_plugin.testing.contracts import (
        check_probe_kind,
        check_renderer,
        check_schedule,
        check_selection,
        check_source,
        check_template_set,
    )
    from kis_plugin.testing.small_knowledge import controls_shown, people, shown, small_config, write_facts

_NAMES = {
    ".adapters": ("AdapterSuite", "Host", "Outcome"),
    ".contracts": (
        "check_probe_kind", "check_renderer", "check_schedule", "check_selection", "check_source", "check_template_set",
    ),
    ".small_knowledge": ("controls_shown", "people", "shown", "small_config", "write_facts"),
}  # fmt: skip

__all__ = [
    "AdapterSuite", "Host", "Outcome", "check_probe_kind", "check_renderer", "check_schedule", "check_selection",
    "check_source", "check_template_set", "controls_shown", "people", "shown", "small_config", "write_facts",
]  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
