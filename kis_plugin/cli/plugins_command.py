"""``kis plugins``: what is installed, and where it came from."""

from __future__ import annotations

import json

import click

from kis_plugin.storage.terminal import AS_JSON, console, table

__all__ = ["plugins"]


@click.command()
@AS_JSON
def plugins(as_json: bool) -> None:
    """List what is registered and where it came from.

    \b
    Examples:
      kis plugins
      kis plugins --json
    """  # noqa: D301 - click reads the character, not its escape
    from kis_plugin.cli.listing import list_registered

    found = list_registered()
    if as_json:
        click.echo(json.dumps([item.as_json() for item in found], indent=2))
        return
    shown = table("kind", "name", "module", "distribution")
    for item in found:
        shown.add_row(item.kind, item.name, item.module, item.distribution)
    console().print(shown)
