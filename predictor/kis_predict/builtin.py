"""What the predictor registers, through the same hooks as any plugin. Imports wait until a hook is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kis_plugin.hook_markers import hookimpl
from kis_predict.protocols import Law, LogReader

if TYPE_CHECKING:
    import click


@hookimpl
def kis_add_hookspecs(add: Callable[[object], None]) -> None:
    """Declare the hooks of ``kis_predict.hookspecs``."""
    from kis_predict import hookspecs

    add(hookspecs)


@hookimpl
def kis_register_commands(register: Callable[[click.Command], None]) -> None:
    """Add ``kis predict``, which is ``kis-predict``, and ``kis runs``."""
    from kis_predict.cli import subcommand
    from kis_predict.runs_command import runs

    register(subcommand())
    register(runs)


@hookimpl
def kis_register_log_readers(register: Callable[[LogReader], None]) -> None:
    """Add the built-in log formats; the first that claims a file reads it, so LitGPT's CSV comes before any CSV."""
    from kis_predict.readers import CSVReader, LitGPTReader, RunLogReader, TensorBoardReader, TrainerStateReader

    for reader in (RunLogReader(), TrainerStateReader(), LitGPTReader(), CSVReader(), TensorBoardReader()):
        register(reader)


@hookimpl
def kis_register_laws(register: Callable[[Law], None]) -> None:
    """Add the laws of ``kis_predict.laws.built_in``."""
    from kis_predict.laws.built_in import built_in_laws

    for law in built_in_laws():
        register(law)
