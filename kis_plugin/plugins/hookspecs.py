"""Every hook of KIS. Built-ins and third parties implement the same ones, from entry-point group ``kis_plugin``.

The training loop with the events in their places::

    host builds model, data, optimizer
    kis_run_start(run, resumed)              # prepare; refuse what cannot be exact
    kis_run_record(run)                      # what to say of the run in its log
    infuser = kis_infuser(run)               # rows of the data now come from infuser
    for step in 1 .. run.steps:
        for batch in rows drawn by the host:
            kis_rows_drawn(run, rows)        # handed to the loader, perhaps ahead of their use
            kis_batch(run, input_ids)        # what the model is really shown, in training mode
        kis_step_end(run, step)              # retention evaluates here (and at step 0, before the loop)
            kis_outcomes(run, step, outcomes)  # what was asked and answered; the guard acts on it
                kis_ease(run, step, keep)      # if anyone called run.ease(keep): less is told from here on
            kis_metrics(run, records)        # to the run log, the host's own log, anywhere
        kis_save(run, step, exposures)       # beside each checkpoint of the host
    kis_run_end(run, status, step, exposures)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kis_plugin.hook_markers import hookspec
from kis_plugin.infusion.protocols import Schedule
from kis_plugin.knowledge.protocols import Selection, Source
from kis_plugin.retention.protocols import ProbeKind
from kis_plugin.run.protocols import ModelLoader, RunPlugin
from kis_plugin.templates.protocols import Renderer, TemplateSet

if TYPE_CHECKING:
    import click
    import numpy as np
    import numpy.typing as npt

    from kis_plugin.retention.results import Outcomes
    from kis_plugin.run.context import Shown, TrainingRun
    from kis_plugin.run.log import Record
    from kis_plugin.run.placed_row import Infuser


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
    """Add ways to word a fact: call ``register(renderer)`` for each."""


@hookspec
def kis_register_selections(register: Callable[[Selection], None]) -> None:
    """Add ways to choose what is worth its tokens: call ``register(selection)`` for each."""


@hookspec
def kis_register_probes(register: Callable[[ProbeKind], None]) -> None:
    """Add probe kinds: call ``register(kind)`` for each."""


@hookspec
def kis_register_model_loaders(register: Callable[[ModelLoader], None]) -> None:
    """Add ways to load a saved model for ``kis probe``: call ``register(loader)`` for each."""


@hookspec
def kis_register_commands(register: Callable[[click.Command], None]) -> None:
    """Add commands to ``kis``: call ``register(command)`` for each."""


@hookspec
def kis_register_run_plugins(register: Callable[[Callable[[TrainingRun], RunPlugin]], None]) -> None:
    """Take part in training runs: ``register(factory)``; ``factory(run)`` gives an object with the hooks below."""


# --- events of one training run ----------------------------------------------------------------------------------


@hookspec
def kis_run_start(run: TrainingRun, resumed: Mapping[str, Any] | None) -> None:
    """Prepare, on every rank, before the first step. ``resumed`` is what ``kis_state`` gave at the checkpoint."""


@hookspec
def kis_run_record(run: TrainingRun) -> Mapping[str, Any]:
    """Return fields for the run record (``kis_plugin.run.log.Run``), unknown ones go to its extras."""
    return {}


@hookspec(firstresult=True)
def kis_infuser(run: TrainingRun) -> Infuser | None:
    """Return what rewrites the rows of the data. The first answer that is not None counts."""
    return None


@hookspec(firstresult=True)
def kis_told(run: TrainingRun) -> npt.NDArray[np.int64] | None:
    """Return the places in the knowledge's facts of those that the run tells, sorted; asked after ``kis_run_start``."""
    return None


@hookspec
def kis_rows_drawn(run: TrainingRun, rows: Sequence[int]) -> None:
    """Note global row indices that this rank's loader is about to fetch."""


@hookspec
def kis_batch(run: TrainingRun, input_ids: npt.NDArray[np.int64]) -> None:
    """Note a batch, (rows, T), that the model was shown in training mode on this rank."""


@hookspec
def kis_step_end(run: TrainingRun, step: int) -> None:
    """Act after optimizer step ``step``, on every rank; step 0 comes once before the first."""


@hookspec
def kis_outcomes(run: TrainingRun, step: int, outcomes: Outcomes) -> None:
    """Note what came of an evaluation, question by question; the same on every rank."""


@hookspec
def kis_ease(run: TrainingRun, step: int, keep: float) -> None:
    """Infuse only ``keep`` of what is left after ``step``, from rows on that no rank has drawn yet; 0: nothing more."""


@hookspec
def kis_metrics(run: TrainingRun, records: Sequence[Record]) -> None:
    """Take measurements somewhere, on rank 0 only. Every record carries its step."""


@hookspec
def kis_exposures(run: TrainingRun) -> npt.NDArray[np.int64] | None:
    """Return this rank's exposures so far, (facts,), since the start or the last resume."""
    return None


@hookspec(firstresult=True)
def kis_shown(run: TrainingRun, exposures: npt.NDArray[np.int64]) -> Shown | None:
    """Return what ``exposures``, (items,) over all ranks so far, are of each fact, and in tokens. Rank 0 only."""
    return None


@hookspec
def kis_end_record(run: TrainingRun, status: str, exposures: npt.NDArray[np.int64]) -> Mapping[str, Any]:
    """Return fields for the end record (``kis_plugin.run.log.End``), unknown ones go to its extras. Every rank.

    ``status`` is ``completed`` or ``stopped``.
    """
    return {}


@hookspec
def kis_state(run: TrainingRun) -> Mapping[str, Any]:
    """Return what a resume must find again, as plain JSON values; merged over plugins, kept in the checkpoint."""
    return {}


@hookspec
def kis_save(run: TrainingRun, step: int, exposures: npt.NDArray[np.int64]) -> None:
    """Note that the host wrote a checkpoint at ``step``; ``exposures`` are summed over ranks. Rank 0 only."""


@hookspec
def kis_run_end(run: TrainingRun, status: str, step: int, exposures: npt.NDArray[np.int64]) -> None:
    """Finish: ``status`` is ``completed``, ``stopped`` or ``failed``. Every rank."""


RUN_EVENTS = tuple(
    name for name in list(globals()) if name.startswith("kis_") and not name.startswith(("kis_register_", "kis_add_"))
)
"""Hooks of one training run, in the order above."""
