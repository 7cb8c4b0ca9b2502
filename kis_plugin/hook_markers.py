"""The pluggy markers of KIS: ``@hookimpl`` marks a plugin's hooks, ``@hookspec`` declares one."""

from __future__ import annotations

import pluggy

__all__ = ["PROJECT", "hookimpl", "hookspec"]

PROJECT = "kis"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
