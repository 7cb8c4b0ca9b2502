"""One training run's plugins, called in order: what an adapter holds while its host trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.plugins.manager import add, new_manager, plugin_manager
from kis_plugin.retention.results import Outcomes
from kis_plugin.run.context import Shown, TrainingRun
from kis_plugin.run.log import LOG_NAME, End, Loss, Record, Run
from kis_plugin.run.log_plugin import saved_exposures
from kis_plugin.run.placed_row import Infuser

__all__ = ["Session"]

_RUN_FIELDS = {field.name for field in fields(Run)}
_END_FIELDS = {field.name for field in fields(End)}


class Session:
    """Translates an adapter's events into hook calls.

    Args:
        run: The run as the adapter describes it.
        resumed: What ``state()`` gave when the checkpoint was written; None for a run from its beginning.
        host: The adapter's own plugins, such as one that takes metrics to the host's log.

    Raises:
        KISError: Anything that would make the run's counts wrong, before anything is written or trained.
    """

    def __init__(self, run: TrainingRun, resumed: Mapping[str, Any] | None = None, host: Sequence[object] = ()) -> None:
        if run.start_step and resumed is None:
            raise KISError(
                Problem(
                    f"resume at step {run.start_step}",
                    "a checkpoint that was written without KIS",
                    "one written with it",
                    "The rows before it were not infused. To infuse from here on, load its weights into a new run.",
                )
            )
        self.run = replace(
            run,
            publish=self.publish,
            told=self._told,
            shown=self._shown,
            tell_outcomes=self._tell_outcomes,
            ease=self._ease,
            stop=self._stop,
        )
        self.stopping: str | None = None
        """Why training is to end after this step; None while it goes on. The same on every rank."""
        self._step = run.start_step
        self._manager = new_manager()
        for number, plugin in enumerate([*self._built(), *host]):
            name = f"{number} {type(plugin).__module__}.{type(plugin).__qualname__}"
            add(self._manager, plugin, name, f"run plugin {name}")
        self._hook = self._manager.hook
        self._hook.kis_run_start(run=self.run, resumed=resumed)
        infuser: Infuser | None = self._hook.kis_infuser(run=self.run)
        if infuser is None:
            raise KISError(
                Problem("plugins", "no answer to kis_infuser", "a plugin that infuses, such as the built-in")
            )
        self.infuser = infuser
        self._before = self._exposures_before()
        self._ended = False
        if resumed is None or not (run.folder / LOG_NAME).exists():  # resumed where the first part's log is not
            self.publish([self._record()])

    def rows_drawn(self, rows: Sequence[int]) -> None:
        """Say which global rows this rank's loader is about to fetch."""
        self._hook.kis_rows_drawn(run=self.run, rows=rows)

    def batch(self, input_ids: npt.NDArray[np.int64]) -> None:
        """Say what the model is trained on: token ids, (rows, T), each row as it was planned."""
        self._hook.kis_batch(run=self.run, input_ids=input_ids)

    def step_end(self, step: int) -> None:
        """Say that ``step`` optimizer steps are done; call it with 0 before the first. Every rank.

        A host looks at ``stopping`` after it, and ends training if that says why.
        """
        self._step = step
        self._hook.kis_step_end(run=self.run, step=step)

    def loss(self, step: int, split: str, value: float) -> None:
        """Publish a loss on general text, nats per token."""
        self.publish([Loss(step=step, tokens=self.run.tokens_at(step), split=split, loss=value)])

    def publish(self, records: Sequence[Record]) -> None:
        """Take records to every place that metrics go to; only rank 0 does anything."""
        if self.run.rank == 0:
            self._hook.kis_metrics(run=self.run, records=records)

    def exposures(self) -> IntArray:
        """Return exposures per item over all ranks since the start of the run: (items,). Every rank must call it."""
        mine: IntArray = np.sum(self._hook.kis_exposures(run=self.run), axis=0, dtype=np.int64)
        total = self.run.sum_over_ranks(mine)
        return total if self._before is None else total + self._before

    def state(self) -> dict[str, Any]:
        """Return what a resume needs, as JSON values: the adapter puts it into the host's checkpoint."""
        state: dict[str, Any] = {"run_id": self.run.run_id, "framework": self.run.framework}
        for part in self._hook.kis_state(run=self.run):
            state |= part
        return state

    def save(self, step: int) -> None:
        """Say that the host wrote a checkpoint. Every rank."""
        exposures = self.exposures()
        if self.run.rank == 0:
            self._hook.kis_save(run=self.run, step=step, exposures=exposures)

    def end(self, step: int) -> None:
        """Finish the run at ``step``: completed if that is its last step. Every rank; a second call does nothing."""
        if self._ended:
            return
        self._ended = True
        exposures = self.exposures()
        status: Literal["completed", "stopped"] = "completed" if step >= self.run.steps else "stopped"
        self.publish([self._end_record(status, step, exposures)])
        self._hook.kis_run_end(run=self.run, status=status, step=step, exposures=exposures)

    def _told(self) -> IntArray | None:
        told: IntArray | None = self._hook.kis_told(run=self.run)
        return told

    def _shown(self) -> Shown | None:
        exposures = self.exposures()
        if self.run.rank or (self.run.start_step and self._before is None):
            return None
        shown: Shown | None = self._hook.kis_shown(run=self.run, exposures=exposures)
        return shown

    def _tell_outcomes(self, step: int, outcomes: Outcomes) -> None:
        self._hook.kis_outcomes(run=self.run, step=step, outcomes=outcomes)

    def _ease(self, keep: float) -> None:
        if not 0 <= keep <= 1:
            raise KISError(Problem("ease()", f"{keep}", "a part from 0 to 1 of what is left"))
        self._hook.kis_ease(run=self.run, step=self._step, keep=keep)

    def _stop(self, reason: str) -> None:
        self.stopping = self.stopping or reason

    def _built(self) -> list[object]:
        """Build the run plugins that were registered, built-ins first."""
        factories: list[Any] = []
        for implementation in plugin_manager().hook.kis_register_run_plugins.get_hookimpls():
            implementation.function(register=factories.append)
        return [factory(self.run) for factory in factories]

    def _record(self) -> Run:
        values: dict[str, Any] = {}
        for part in self._hook.kis_run_record(run=self.run):
            values |= part
        run = self.run
        known = {key: value for key, value in values.items() if key in _RUN_FIELDS}
        return Run(
            run_id=run.run_id,
            framework=run.framework,
            params=run.params,
            params_non_embedding=run.params_non_embedding,
            tokens=run.tokens,
            seed=run.config.seed,
            versions=run.versions,
            extra={key: value for key, value in values.items() if key not in _RUN_FIELDS},
            **known,
        )

    def _end_record(self, status: Literal["completed", "stopped"], step: int, exposures: IntArray) -> End:
        values: dict[str, Any] = {}
        if self.run.start_step and self._before is None and not self.run.rank:
            values["counted_from_step"] = self.run.start_step
        for part in self._hook.kis_end_record(run=self.run, status=status, exposures=exposures):
            values |= part
        return End(
            status=status,
            step=step,
            tokens=self.run.tokens_at(step),
            extra={key: value for key, value in values.items() if key not in _END_FIELDS},
            **{key: value for key, value in values.items() if key in _END_FIELDS},
        )

    def _exposures_before(self) -> IntArray | None:
        """Return the exposures before a resume, on rank 0; they are summed over ranks once."""
        if not self.run.start_step or self.run.rank:
            return None
        before = saved_exposures(self.run)
        now = int(np.sum(self._hook.kis_exposures(run=self.run), axis=0).shape[0])
        if before is not None and len(before) != now:
            self.run.narrate(
                f"kis: warning: {len(before)} sentences were counted up to step {self.run.start_step}, there are {now} "
                "now; the achieved frequency in the log will count from here only."
            )
            return None
        if before is None:
            self.run.narrate(
                f"kis: warning: {self.run.folder} has no exposures-{self.run.start_step}.npz; the infusion goes on "
                "exactly, but the achieved frequency in the log will count from here only."
            )
        return before
