"""What KIS itself registers, through the same hooks as anyone's plugin. Imports wait until a hook is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kis_plugin.hookspecs import hookimpl

if TYPE_CHECKING:
    import click

    from kis_plugin.contracts import ProbeKind, Renderer, RunPlugin, Schedule, Selection, Source, TemplateSet
    from kis_plugin.run import TrainingRun


@hookimpl
def kis_register_sources(register: Callable[[Source], None]) -> None:
    """Add fact tables, BEAR-style folders and documents."""
    from kis_plugin.sources.bear import BearSource
    from kis_plugin.sources.documents import DocumentSource
    from kis_plugin.sources.triples import TripleSource

    register(TripleSource())
    register(BearSource())
    register(DocumentSource())


@hookimpl
def kis_register_templates(register: Callable[[TemplateSet], None]) -> None:
    """Add the sentences that come with KIS."""
    from kis_plugin.template_book import BuiltInTemplates

    register(BuiltInTemplates())


@hookimpl
def kis_register_schedules(register: Callable[[Schedule], None]) -> None:
    """Add the ways to spread infused rows over the run."""
    from kis_plugin.schedules import Burst, Ramp, Spaced, Uniform

    for schedule in (Uniform(), Ramp(), Burst(), Spaced()):
        register(schedule)


@hookimpl
def kis_register_renderers(register: Callable[[Renderer], None]) -> None:
    """Add sentences and raw triples."""
    from kis_plugin.renderers import Sentences, Triples

    register(Sentences())
    register(Triples())


@hookimpl
def kis_register_selections(register: Callable[[Selection], None]) -> None:
    """Add the ways to choose what is worth its tokens."""
    from kis_plugin.selections import Difference, Everything

    register(Everything())
    register(Difference())


@hookimpl
def kis_register_probes(register: Callable[[ProbeKind], None]) -> None:
    """Add the ways to ask about a fact."""
    from kis_plugin.probing.answer_space import AnswerSpaceProbe
    from kis_plugin.probing.answers import ANSWERED
    from kis_plugin.probing.probes import BUILT_IN
    from kis_plugin.probing.two_hop import TwoHopProbe

    for kind in (*BUILT_IN, AnswerSpaceProbe(), TwoHopProbe(), *ANSWERED):
        register(kind)


@hookimpl
def kis_register_commands(register: Callable[[click.Command], None]) -> None:
    """Add the commands of ``kis``."""
    from kis_plugin.commands import check, plugins
    from kis_plugin.counting.command import count
    from kis_plugin.inspect_command import inspect
    from kis_plugin.prepare import prepare
    from kis_plugin.probe_command import probe

    for command in (check, count, inspect, plugins, prepare, probe):
        register(command)


@hookimpl
def kis_register_run_plugins(register: Callable[[Callable[[TrainingRun], RunPlugin]], None]) -> None:
    """Add infusion, retention, its guard and the run log to every run."""
    from kis_plugin.infusion import Infusion
    from kis_plugin.logfile import LogFile
    from kis_plugin.probing.guard import Guard
    from kis_plugin.probing.retention import Retention

    register(Infusion)
    register(Retention)
    register(Guard)
    register(LogFile)
