"""A plugin from another distribution: a source, templates, a schedule, a probe kind, a law and a run plugin."""

from kis_example.laws import FloorLaw
from kis_example.metrics import StepTable
from kis_example.probes import reversed_order
from kis_example.schedules import FirstHalf
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
    register(FirstHalf())


@hookimpl
def kis_register_probes(register):
    register(reversed_order)


@hookimpl
def kis_register_laws(register):
    register(FloorLaw())


@hookimpl
def kis_register_run_plugins(register):
    register(StepTable)
