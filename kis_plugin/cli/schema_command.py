"""``kis schema``: a JSON Schema of kis.yaml, from which editors complete and check it."""

from __future__ import annotations

import json
from typing import Any

import click

__all__ = ["json_schema", "schema"]


@click.command()
def schema() -> None:
    """Print a JSON Schema of kis.yaml.

    Editors with a YAML language server complete keys, show what they mean and mark what is wrong. Write it once

    \b
      kis schema > kis.schema.json

    and let the first line of kis.yaml be

    \b
      # yaml-language-server: $schema=kis.schema.json
    """  # noqa: D301 - click reads the character, not its escape
    click.echo(json.dumps(json_schema(), indent=2))


def json_schema() -> dict[str, Any]:
    """Return the schema: keys, defaults and descriptions are those of ``kis_plugin.config.schema``."""
    from kis_plugin.config.schema import KisYaml
    from kis_plugin.config.validate import adapter_of

    made: dict[str, Any] = _plain(adapter_of(KisYaml).json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "kis.yaml", **made}


def _plain(value: Any, names_keys: bool = False) -> Any:
    """Drop the titles that pydantic makes up, and write descriptions in one line.

    Args:
        value: A schema or a part of one.
        names_keys: Whether ``value`` maps names of keys to their schemas: there "title" would be a key of the user's.
    """
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {
        key: _plain(item, key in ("properties", "$defs")) for key, item in value.items() if names_keys or key != "title"
    }
    if not names_keys and isinstance(description := kept.get("description"), str):
        kept["description"] = " ".join(description.replace("``", "`").split())
    return kept
