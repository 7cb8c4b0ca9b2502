"""One training run's plugins, called in order: what an adapter holds while its host trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.facts import Fact
from kis_plugin.plugins.manager import add, new_manager, plugin_manager
from kis_plugin.retention.results import Outcomes
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.earlier_counts import EarlierCounts, counts_of_checkpoint, counts_of_session
from kis_plugin.run.exposure_file import SavedExposures, exposures_path, write_exposures
from kis_plugin.run.infuser import Infuser, RowSource, Shown
from kis_plugin.run.log import End, Loss, Record, Retention, Run, Status, has_begun
from kis_plugin.tokenized.document_start import decided_start, decision_notes

__all__ = ["Session"]

_NAMED = "kis.yaml"  # what a text begins with was named, not decided
_RUN_FIELDS = {field.name for field in fields(Run)}
_END_FIELDS = {field.name for field in fields(End)}


class Session:
    """Translates an adapter's events into calls of the run's plugins (``kis_plugin.run.context.RunSession``).

    Args:
        run: The run as the adapter describes it.
        resumed: What ``state()`` gave when the checkpoint was written; None for a run from its beginning.
        host: The adapter's own plugins, such as one that takes metrics to the host's log.
        earlier: A session of this process that has trained the same weights, where the host starts anew without loading
            others. Its exposures count as this run's.

    Attributes:
        run: The run, with this session in it.
        infuser: What infuses the run.
        stopping: Why training is to end after this step; None while it goes on. The same on every rank.
        diverged: Why the run counts as diverged; None while it does not.

    Raises:
        KISError: Anything that would make the run's counts wrong, before anything is written or trained.
    """

    infuser: Infuser
    stopping: str | None
    diverged: str | None

    def __init__(
        self,
        run: TrainingRun,
        resumed: Mapping[str, Any] | None = None,
        host: Sequence[object] = (),
        earlier: Session | None = None,
    ) -> None:
        if run.start_step and resumed is None:
            raise KISError(
                Problem(
                    f"resume at step {run.start_step}",
                    "a checkpoint that was written without KIS",
                    "one written with it",
                    "The rows before it were not infused. To infuse from here on, load its weights into a new run.",
                )
            )
        begin, self._begin_by = self._start(run, resumed)
        notes = decision_notes(run.config, run.tokenizer, begin, self._begin_by) if run.rank == 0 else []
        self.run = replace(run, config=replace(run.config, begin=begin), session=self)
        for line in notes:
            run.notify(f"kis: {line}.")
        self.stopping = None
        self.diverged = (resumed or {}).get("diverged")  # weights that are NaN stay so
        self._step = run.start_step
        self._ended = False
        self._kept = -1  # step whose exposures are on disk
        self._manager = new_manager()
        for number, plugin in enumerate([*self._registered(), *host]):
            name = f"{number} {type(plugin).__module__}.{type(plugin).__qualname__}"
            add(self._manager, plugin, name, f"run plugin {name}")
        self._hook = self._manager.hook
        infuser: Infuser | None = self._hook.kis_infuser(run=self.run, resumed=resumed)
        if infuser is None:
            raise KISError(
                Problem("plugins", "no answer to kis_infuser", "a plugin that infuses, such as the built-in")
            )
        self.infuser = infuser
        self._hook.kis_run_start(run=self.run, resumed=resumed)
        self._before = self._earlier_counts(resumed, earlier)
        if resumed is None or not has_begun(run.folder):  # resumed where the first part's log is not
            self.publish([self._run_record()])

    @property
    def row_source(self) -> RowSource:
        """What makes the infused rows; it pickles."""
        return self.infuser.row_source

    @property
    def checks_delivery(self) -> bool:
        """Whether the labels of infused rows are still compared with those planned."""
        return bool(getattr(self.infuser, "checks_delivery", False))

    def rows_drawn(self, rows: Sequence[int], carried: Sequence[int] | None = None) -> None:
        """Announce the global rows that this rank's loader is about to fetch (``Infuser.rows_drawn``)."""
        if carried is None:
            self.infuser.rows_drawn(rows)
        else:
            self.infuser.rows_drawn(rows, carried)

    def batch(self, input_ids: npt.NDArray[np.int64], labels: npt.NDArray[np.int64] | None = None) -> None:
        """Report what the model is trained on.

        Args:
            input_ids: (rows, T) token ids, each row as it was planned.
            labels: (rows, T) what the loss is taken of, -100 for nothing; None where the host does not show them.
        """
        self.infuser.batch(input_ids, labels)
        self._hook.kis_batch(run=self.run, input_ids=input_ids)

    def step_end(self, step: int) -> None:
        """Report that ``step`` optimizer steps are done; call it with 0 before the first. Every rank.

        A host looks at ``stopping`` after it, and ends training if that is not None.

        Raises:
            KISError: The first infused rows did not reach the model as planned.
        """
        self._step = step
        self.infuser.step_end(step)
        self._hook.kis_step_end(run=self.run, step=step)

    def loss(self, step: int, split: str, value: float) -> None:
        """Publish a loss on general text, nats per token; one that is NaN or infinite marks the run as diverged."""
        if not math.isfinite(value):
            self.mark_diverged(f"loss on {split} is {value}")
            return
        self.publish([Loss(step=step, tokens=self.run.tokens_at(step), split=split, loss=value)])

    def publish(self, records: Sequence[Record]) -> None:
        """Send records to every destination of metrics; only rank 0 does anything."""
        if self.run.rank == 0:
            self._hook.kis_metrics(run=self.run, records=records)

    def extend_records(
        self, step: int, outcomes: Outcomes, facts_of: Callable[[str], Sequence[Fact]], records: list[Retention]
    ) -> None:
        """Let plugins add to the records of the evaluation at ``step``, in place. Every rank."""
        self._hook.kis_retention_records(run=self.run, step=step, outcomes=outcomes, facts_of=facts_of, records=records)

    def publish_outcomes(self, step: int, outcomes: Outcomes) -> None:
        """Pass on how each question of the evaluation at ``step`` was answered. Every rank."""
        self._hook.kis_outcomes(run=self.run, step=step, outcomes=outcomes)

    def exposures(self) -> IntArray:
        """Return exposures per item over all ranks since the start of the run: (items,). Every rank must call it."""
        return self._before.total(self.run.ranks.sum(self.infuser.exposures()))

    def shown(self) -> Shown | None:
        """Return what the model was shown so far, on rank 0, unless counts are lost. Every rank must call it."""
        exposures = self.exposures()
        return self.infuser.shown(exposures) if self.run.rank == 0 and self._is_counted else None

    def throttle(self, keep: float) -> None:
        """Infuse only ``keep`` of what is left. Every rank must call it, with the same number."""
        if not 0 <= keep <= 1:
            raise KISError(Problem("throttle()", f"{keep}", "a part from 0 to 1 of what is left"))
        self.infuser.throttle(self._step, keep)

    def mark_diverged(self, reason: str) -> None:
        """Note that the model diverged: the run will end as ``diverged``. The first reason counts. Every rank."""
        if self.diverged is None:
            self.diverged = f"{reason} at step {self._step}"
            if self.run.rank == 0:
                self.run.notify(f"kis: warning: {self.diverged}: the model has diverged.")

    def stop(self, reason: str) -> None:
        """End training after this step. The first reason counts."""
        self.stopping = self.stopping or reason

    def state(self) -> dict[str, Any]:
        """Return what a resume needs, as JSON values: the adapter puts it into the host's checkpoint."""
        run = self.run
        state: dict[str, Any] = {"run_id": run.run_id, "framework": run.framework, "starts": self._before.starts}
        state |= self.infuser.state()
        if self._begin_by != _NAMED:
            state["begin"] = [run.config.begin, self._begin_by]
        if self.diverged is not None:
            state["diverged"] = self.diverged
        for part in self._hook.kis_state(run=self.run):
            state |= part
        return state

    def keep_exposures(self, step: int) -> None:
        """Write the exposures of a checkpoint that the host is about to write, as it may be killed in between.

        Every rank. ``save`` then has nothing left to write.
        """
        self._write(step, self.exposures())

    def save(self, step: int) -> None:
        """Report that the host wrote a checkpoint. Every rank."""
        exposures = self.exposures()
        if self._kept != step:
            self._write(step, exposures)
        if self.run.rank == 0:  # alone, while the other ranks go on
            self._hook.kis_save(run=self.run, step=step, exposures=exposures)

    def end(self, step: int) -> None:
        """Finish the run at ``step``: completed if that is its last step. Every rank; a second call does nothing."""
        if self._ended:
            return
        self._ended = True
        exposures = self.exposures()
        status = "diverged" if self.diverged else "completed" if step >= self.run.steps else "stopped"
        self.publish([self._end_record(status, step, exposures)])
        self._hook.kis_run_end(run=self.run, status=status, step=step, exposures=exposures)

    def _write(self, step: int, exposures: IntArray) -> None:
        self._kept = step
        if self.run.rank == 0:
            saved = SavedExposures(exposures, self._before.counted_from, self.infuser.items_fingerprint)
            write_exposures(exposures_path(self.run.folder, step), saved)

    @property
    def _is_counted(self) -> bool:
        """Whether the log has the exposures of all that the weights have seen. Right on rank 0 only."""
        return not self._before.counted_from and not self._before.uncounted

    @staticmethod
    def _start(run: TrainingRun, resumed: Mapping[str, Any] | None) -> tuple[str, str]:
        """Return what texts begin with, and what that was decided by: a resumed run keeps what it was. Every rank."""
        if run.config.begin == "auto" and resumed is not None:
            # A checkpoint of a run whose kis.yaml named it has it among what the plan depends on.
            begin, by = resumed.get("begin") or (resumed.get("plan", {}).get("begin", "eos"), "checkpoint")
            return str(begin), str(by)
        in_base: bool | None = None
        if run.config.begin == "auto" and run.base_tokens is not None:  # ranks look at other rows, and decide as one
            found = np.array([int(getattr(run.tokenizer, "bos", None) in run.base_tokens)], dtype=np.int64)
            in_base = bool(run.ranks.sum(found)[0])
        return decided_start(run.config, run.tokenizer, in_base)

    def _registered(self) -> list[object]:
        """Build the run plugins that were registered, built-ins first."""
        factories: list[Any] = []
        for implementation in plugin_manager().hook.kis_register_run_plugins.get_hookimpls():
            implementation.function(register=factories.append)
        return [factory(self.run) for factory in factories]

    def _run_record(self) -> Run:
        values: dict[str, Any] = {**self.run.recipe.known(), **self.infuser.run_record()}
        for part in self._hook.kis_run_record(run=self.run):
            values |= part
        run = self.run
        if self._begin_by != _NAMED:
            values |= {"begin": run.config.begin, "begin_by": self._begin_by}
        return Run(
            run_id=run.run_id,
            framework=run.framework,
            params=run.params,
            params_non_embedding=run.params_non_embedding,
            tokens=run.tokens,
            seed=run.config.seed,
            versions=run.versions,
            extra={key: value for key, value in values.items() if key not in _RUN_FIELDS},
            **{key: value for key, value in values.items() if key in _RUN_FIELDS},
        )

    def _end_record(self, status: str, step: int, exposures: IntArray) -> End:
        values: dict[str, Any] = self._before.fields()
        # A diverged run that took all its steps was shown all its exposures, which are checked as those of any other.
        reached = "completed" if step >= self.run.steps else "stopped"
        values |= self.infuser.end_record(reached, exposures, complete=self._is_counted)
        values |= {"diverged": self.diverged} if self.diverged else {}
        for part in self._hook.kis_end_record(run=self.run, status=status, exposures=exposures):
            values |= part
        return End(
            status=cast("Status", status),
            step=step,
            tokens=self.run.tokens_at(step),
            extra={key: value for key, value in values.items() if key not in _END_FIELDS},
            **{key: value for key, value in values.items() if key in _END_FIELDS},
        )

    def _earlier_counts(self, resumed: Mapping[str, Any] | None, earlier: Session | None) -> EarlierCounts:
        """Return what the weights have seen before; every rank must call it."""
        if resumed is not None:
            return counts_of_checkpoint(self.run, self.infuser, resumed)
        if earlier is None:
            return EarlierCounts()
        items = (earlier.infuser.items_fingerprint, self.infuser.items_fingerprint)
        return counts_of_session(earlier.exposures(), earlier._before, items, self.run)
