"""The type of arguments that name base text: paths, or URLs of an object store."""

from __future__ import annotations

from typing import Any

import click

__all__ = ["PLACE"]


class _PlaceType(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.3
    name = "path or URL"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        from kis_plugin.counting.places import place_of

        return place_of(value) if isinstance(value, str) else value


PLACE = _PlaceType()
"""A ``kis_plugin.counting.places.Place``."""
