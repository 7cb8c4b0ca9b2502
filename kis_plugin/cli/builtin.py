"""What KIS itself registers, through the same hooks as any other plugin. Imports wait until a hook is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kis_plugin.hook_markers import hookimpl

if TYPE_CHECKING:
    import click

    from kis_plugin.infusion.protocols import Schedule
    from kis_plugin.knowledge.protocols import Selection, Source
    from kis_plugin.retention.protocols import AnswerScorer, ProbeKind
    from kis_plugin.run.context import TrainingRun
    from kis_plugin.run.protocols import RunPlugin
    from kis_plugin.templates.protocols import Renderer, TemplateSet


@hookimpl
def kis_register_sources(register: Callable[[Source], None]) -> None:
    """Add fact tables, BEAR-style folders and documents."""
    from kis_plugin.knowledge.sources.bear import BearSource
    from kis_plugin.knowledge.sources.documents import DocumentSource
    from kis_plugin.knowledge.sources.folders import FolderSource
    from kis_plugin.knowledge.sources.ntriples import NTriplesSource
    from kis_plugin.knowledge.sources.triples import TripleSource

    for source in (TripleSource(), BearSource(), NTriplesSource(), DocumentSource(), FolderSource()):
        register(source)


@hookimpl
def kis_register_templates(register: Callable[[TemplateSet], None]) -> None:
    """Add the sentences that come with KIS."""
    from kis_plugin.templates.load import BuiltInTemplates

    register(BuiltInTemplates())


@hookimpl
def kis_register_schedules(register: Callable[[Schedule], None]) -> None:
    """Add the ways to spread infused rows over the run."""
    from kis_plugin.infusion.schedules import Burst, Ramp, Spaced, Uniform

    for schedule in (Uniform(), Ramp(), Burst(), Spaced()):
        register(schedule)


@hookimpl
def kis_register_renderers(register: Callable[[Renderer], None]) -> None:
    """Add sentences and raw triples."""
    from kis_plugin.templates.renderers import Sentences, Triples

    register(Sentences())
    register(Triples())


@hookimpl
def kis_register_selections(register: Callable[[Selection], None]) -> None:
    """Add the selection of everything."""
    from kis_plugin.knowledge.selections import Everything

    register(Everything())


@hookimpl
def kis_register_probes(register: Callable[[ProbeKind], None]) -> None:
    """Add the multiple-choice probes of single facts."""
    from kis_plugin.retention.questions.probes import BUILT_IN

    for kind in BUILT_IN:
        register(kind)


@hookimpl
def kis_register_scorers(register: Callable[[AnswerScorer], None]) -> None:
    """Add the scorer of multiple-choice questions."""
    from kis_plugin.retention.option_scoring import OptionScoring

    register(OptionScoring())


@hookimpl
def kis_register_commands(register: Callable[[click.Command], None]) -> None:
    """Add the commands of ``kis``."""
    from kis_plugin.cli.check_command import check
    from kis_plugin.cli.inspect_command import inspect
    from kis_plugin.cli.plugins_command import plugins
    from kis_plugin.cli.prepare_command import prepare
    from kis_plugin.cli.probe_command import probe
    from kis_plugin.cli.schema_command import schema

    for command in (check, inspect, plugins, prepare, probe, schema):
        register(command)


@hookimpl
def kis_register_run_plugins(register: Callable[[Callable[[TrainingRun], RunPlugin]], None]) -> None:
    """Add infusion, retention, its guard and the run log to every run."""
    from kis_plugin.guard.plugin import Guard
    from kis_plugin.infusion.infuser import Infusion
    from kis_plugin.retention.plugin import Retention
    from kis_plugin.run.log_plugin import LogFile

    register(Infusion)
    register(Retention)
    register(Guard)
    register(LogFile)
