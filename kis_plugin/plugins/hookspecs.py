"""Every hook of KIS. Built-ins and third parties implement the same ones, from entry-point group ``kis_plugin``.

From ``kis_run_start`` on, ``run.session`` lets a plugin publish records, throttle the infusion or stop training
(``kis_plugin.run.context.RunSession``).

The training loop with the events in their places::

    host builds model, data, optimizer
    infuser = kis_infuser(run, resumed)      # one object that plans, makes rows, counts; refuses what cannot be exact
    kis_run_start(run, resumed)              # prepare
    kis_run_record(run)                      # fields of the first record of the run log
    for step in 1 .. run.steps:
        for batch in the host's loader:      # its rows are announced to infuser and made by infuser.row_source
            kis_batch(run, input_ids)        # what the model is really shown, in training mode
        kis_step_end(run, step)              # retention evaluates here (and at step 0, before the loop)
            kis_retention_records(run, step, outcomes, facts_of, records)  # may add records of the evaluation
            kis_outcomes(run, step, outcomes)  # how each question was answered; the guard acts on it
            kis_metrics(run, records)        # to the run log, the host's own log, anywhere
        kis_save(run, step, exposures)       # beside each checkpoint of the host
        kis_state(run)                       # what goes into that checkpoint
    kis_end_record(run, status, exposures)   # fields of the last record of the run log
    kis_run_end(run, status, step, exposures)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kis_plugin.hook_markers import hookspec
from kis_plugin.infusion.protocols import Schedule
from kis_plugin.knowledge.protocols import Selection, Source
from kis_plugin.retention.protocols import AnswerScorer, ProbeKind
from kis_plugin.run.protocols import ModelLoader, RunPlugin
from kis_plugin.templates.protocols import Renderer, TemplateSet

if TYPE_CHECKING:
    import click
    import numpy as np
    import numpy.typing as npt

    from kis_plugin.knowledge.facts import Fact
    from kis_plugin.retention.results import Outcomes
    from kis_plugin.run.context import TrainingRun
    from kis_plugin.run.infuser import Infuser
    from kis_plugin.run.log import Record, Retention


# --- what can be added -------------------------------------------------------------------------------------------


@hookspec
def kis_add_hookspecs(add: Callable[[object], None]) -> None:
    """Declare hooks of the plugin's own: call ``add(module)`` with a module of ``@hookspec`` functions.

    Called before any plugin is registered, so that plugins can implement each other's hooks.
    """


@hookspec
def kis_register_sources(register: Callable[[Source], None]) -> None:
    """Add knowledge sources: call ``register(source)`` for each."""


@hookspec
def kis_register_templates(register: Callable[[TemplateSet], None]) -> None:
    """Add template sets: call ``register(template_set)`` for each."""


@hookspec
def kis_register_schedules(register: Callable[[Schedule], None]) -> None:
    """Add infusion schedules: call ``register(schedule)`` for each."""


@hookspec
def kis_register_renderers(register: Callable[[Renderer], None]) -> None:
    """Add ways to turn a fact into a sentence: call ``register(renderer)`` for each."""


@hookspec
def kis_register_selections(register: Callable[[Selection], None]) -> None:
    """Add ways to select what is infused: call ``register(selection)`` for each."""


@hookspec
def kis_register_probes(register: Callable[[ProbeKind], None]) -> None:
    """Add probe kinds: call ``register(kind)`` for each."""


@hookspec
def kis_register_scorers(register: Callable[[AnswerScorer], None]) -> None:
    """Add ways to evaluate questions: call ``register(scorer)`` for each. A question names the one it needs."""


@hookspec
def kis_register_model_loaders(register: Callable[[ModelLoader], None]) -> None:
    """Add ways to load a saved model for ``kis probe``: call ``register(loader)`` for each."""


@hookspec
def kis_register_commands(register: Callable[[click.Command], None]) -> None:
    """Add commands to ``kis``: call ``register(command)`` for each."""


@hookspec
def kis_register_run_plugins(register: Callable[[Callable[[TrainingRun], RunPlugin]], None]) -> None:
    """Take part in training runs: call ``register(factory)``; ``factory(run)`` gives an object with the hooks below."""


# --- events of one training run ----------------------------------------------------------------------------------


@hookspec(firstresult=True)
def kis_infuser(run: TrainingRun, resumed: Mapping[str, Any] | None) -> Infuser | None:
    """Return what infuses the run, on every rank, before any other event. The first answer that is not None counts.

    A plugin of a third party is called before the built-in one, so its infuser replaces KIS's own as a whole.
    ``resumed`` is what ``Infuser.state`` and ``kis_state`` gave at the checkpoint; None for a run from its beginning.
    """
    return None


@hookspec
def kis_run_start(run: TrainingRun, resumed: Mapping[str, Any] | None) -> None:
    """Prepare, on every rank, before the first step. ``resumed`` is what ``kis_state`` gave at the checkpoint.

    ``run.session.infuser`` is there by now.
    """


@hookspec
def kis_run_record(run: TrainingRun) -> Mapping[str, Any]:
    """Return fields for the run record (``kis_plugin.run.log.Run``); unknown ones go to its extras."""
    return {}


@hookspec
def kis_batch(run: TrainingRun, input_ids: npt.NDArray[np.int64]) -> None:
    """Receive a batch, (rows, T), that the model was shown in training mode on this rank."""


@hookspec
def kis_step_end(run: TrainingRun, step: int) -> None:
    """Act after optimizer step ``step``, on every rank; step 0 comes once before the first."""


@hookspec
def kis_retention_records(
    run: TrainingRun,
    step: int,
    outcomes: Outcomes,
    facts_of: Callable[[str], Sequence[Fact]],
    records: list[Retention],
) -> None:
    """Add to the records of an evaluation, or replace them, in place, before they are published; on every rank.

    ``facts_of(series)`` returns the facts that the questions of a series are about.
    """


@hookspec
def kis_outcomes(run: TrainingRun, step: int, outcomes: Outcomes) -> None:
    """Receive the outcome of each question of an evaluation; the same on every rank."""


@hookspec
def kis_metrics(run: TrainingRun, records: Sequence[Record]) -> None:
    """Send measurements to a log, on rank 0 only. Every record carries its step."""


@hookspec
def kis_end_record(run: TrainingRun, status: str, exposures: npt.NDArray[np.int64]) -> Mapping[str, Any]:
    """Return fields for the end record (``kis_plugin.run.log.End``), unknown ones go to its extras. Every rank.

    ``status`` is ``completed``, ``stopped`` or ``diverged``.
    """
    return {}


@hookspec
def kis_state(run: TrainingRun) -> Mapping[str, Any]:
    """Return what a resume must find again, as plain JSON values; merged over plugins, kept in the checkpoint."""
    return {}


@hookspec
def kis_save(run: TrainingRun, step: int, exposures: npt.NDArray[np.int64]) -> None:
    """Called when the host wrote a checkpoint at ``step``; ``exposures``, (items,), are over all ranks. Rank 0 only."""


@hookspec
def kis_run_end(run: TrainingRun, status: str, step: int, exposures: npt.NDArray[np.int64]) -> None:
    """Finish: ``status`` is ``completed``, ``stopped`` or ``diverged``. Every rank."""


RUN_EVENTS = tuple(
    name for name in list(globals()) if name.startswith("kis_") and not name.startswith(("kis_register_", "kis_add_"))
)
"""Hooks of one training run, in the order above."""
