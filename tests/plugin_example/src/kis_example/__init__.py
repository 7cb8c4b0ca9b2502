"""A plugin from another distribution, with something of each kind that KIS takes, log readers left out."""

from kis_example.commands import tally_facts
from kis_example.laws import FloorLaw
from kis_example.metrics import StepTable
from kis_example.probes import reversed_order
from kis_example.renderers import Quiz
from kis_example.schedules import Early
from kis_example.selections import First
from kis_example.sources import IniSource
from kis_example.templates import Telegraph
from kis_plugin import hookimpl


@hookimpl
def kis_register_sources(register):
    register(IniSource())


@hookimpl
def kis_register_templates(register):
    register(Telegraph())


@hookimpl
def kis_register_schedules(register):
    register(Early())


@hookimpl
def kis_register_renderers(register):
    register(Quiz())


@hookimpl
def kis_register_selections(register):
    register(First())


@hookimpl
def kis_register_probes(register):
    register(reversed_order)


@hookimpl
def kis_register_laws(register):
    register(FloorLaw())


@hookimpl
def kis_register_commands(register):
    register(tally_facts)


@hookimpl
def kis_register_run_plugins(register):
    register(StepTable)
