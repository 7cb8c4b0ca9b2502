"""Options whose value is an amount as kis.yaml writes it: 2B, 300M, 20000."""

from __future__ import annotations

import click

from kis_plugin.amounts import parse_amount

__all__ = ["read_count"]


def read_count(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return the number that an option gives; None if it is not given.

    Raises:
        click.BadParameter: The value is no amount.
    """
    try:
        return None if value is None else parse_amount(value)
    except ValueError as error:
        raise click.BadParameter(f"found {value!r}, expected {error}.", ctx, param) from error
