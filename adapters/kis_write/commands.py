"""What ``kis_write`` adds to ``kis``: its commands and formats."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kis_plugin.hook_markers import hookimpl

if TYPE_CHECKING:
    import click

    from kis_write.protocols import Format

__all__: list[str] = []


@hookimpl
def kis_add_hookspecs(add: Callable[[object], None]) -> None:
    """Declare the hook for formats."""
    from kis_write import hookspecs

    add(hookspecs)


@hookimpl
def kis_register_formats(register: Callable[[Format], None]) -> None:
    """Add the formats that need no library of the host."""
    from kis_write.formats.datatrove import Datatrove
    from kis_write.formats.litdata import Litdata
    from kis_write.formats.mds import MDS
    from kis_write.formats.megatron import Megatron
    from kis_write.formats.olmo import OLMo
    from kis_write.formats.parquet import Parquet

    for form in (Megatron(), OLMo(), Parquet(), Datatrove(), MDS(), Litdata()):
        register(form)


@hookimpl
def kis_register_commands(register: Callable[[click.Command], None]) -> None:
    """Add ``kis write`` and ``kis audit``."""
    from kis_write.audit_command import audit
    from kis_write.write_command import write

    for command in (write, audit):
        register(command)
