"""``KnowledgeInfusion``: the Trainer's events, told to a KIS session."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from kis_hf.host import TrainerLog, sum_over_ranks, trainer_of
from kis_hf.loader import LoaderSeam
from kis_hf.model import HFModelView, parameter_counts, watch_batches
from kis_hf.splice import Splice, block_size
from kis_plugin.config import Config, config_from, load_config
from kis_plugin.errors import KISError, Problem
from kis_plugin.identity import new_run_id, versions
from kis_plugin.rows import InfusedDataset, NumberedSampler
from kis_plugin.run import TrainingRun
from kis_plugin.sentences import HFTokenizer
from kis_plugin.session import Session

__all__ = ["KnowledgeInfusion"]


class KnowledgeInfusion(TrainerCallback, ExportableState):
    """Infuses knowledge into a Trainer's run, measures retention, writes the run log.

    Args:
        config: Path of a ``kis.yaml``, or its contents as a mapping.
        tokenizer: The run's tokenizer, a fast one with an EOS token; by default the Trainer's ``processing_class``.

    Raises:
        KISError: Anything wrong with the configuration, all of it at once. When training starts, anything that would
            make the counts wrong, before the first step.
    """

    _latest: ClassVar[KnowledgeInfusion | None] = None

    def __init__(
        self, config: str | Path | Mapping[str, Any] | None = None, tokenizer: Any = None, *, restored: bool = False
    ) -> None:
        if restored and KnowledgeInfusion._latest is not None:
            # restore_callback_states_from_checkpoint makes a new callback from JSON, which cannot hold a tokenizer.
            self.config: Config = KnowledgeInfusion._latest.config
            tokenizer = KnowledgeInfusion._latest._tokenizer
        elif isinstance(config, Mapping):
            self.config = config_from(config)
        elif isinstance(config, (str, Path)):
            self.config = load_config(Path(config))
        else:
            found = "no config" if config is None else f"a config of type {type(config).__name__}"
            raise KISError(Problem("KnowledgeInfusion", found, "the path of a kis.yaml, or a mapping"))
        self._tokenizer = tokenizer
        self._session: Session | None = None
        self._undo: list[Callable[[], None]] = []
        self._drain: Callable[[], None]  # there is one while there is a session
        self._sampler: NumberedSampler | None = None
        self._host: dict[str, int] = {}
        self._epoch = 0
        KnowledgeInfusion._latest = self

    def infuse(self, dataset: Any) -> InfusedDataset:
        """Return ``dataset`` infused for one pass in any order, for a training loop of your own.

        Args:
            dataset: Map-style, with packed rows of one length.
        """
        from kis_plugin.infusion import plan_items

        block = block_size(dataset)
        plan = plan_items(self.config, HFTokenizer(self._need_tokenizer(None)), len(dataset), block)
        return InfusedDataset(dataset, Splice(plan, block))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Plan the run, refuse what cannot be exact, and put the infusion into the prepared loader."""
        self._release()
        trainer, model, loader = trainer_of(self), kwargs["model"], kwargs["train_dataloader"]
        seam = LoaderSeam.find(loader)
        block = block_size(seam.loader.dataset)
        accumulation = args.gradient_accumulation_steps
        steps_per_epoch = max(math.ceil(len(loader) / accumulation), 1)
        whole, rest = divmod(state.max_steps, steps_per_epoch)
        rows_per_step = seam.rows_per_batch * accumulation
        rows = whole * seam.rows_per_epoch + min(rest * rows_per_step, seam.rows_per_epoch)
        self._host = {"rows_per_step": rows_per_step, "rows_per_epoch": seam.rows_per_epoch}
        self._epoch, done = divmod(state.global_step, steps_per_epoch)
        resumed = self._resumed(args, state, done)
        tokenizer = HFTokenizer(self._need_tokenizer(kwargs.get("processing_class")))
        total, non_embedding = parameter_counts(model)
        run_id = resumed["run_id"] if resumed else new_run_id("hf", total, self.config)
        run = TrainingRun(
            config=self.config,
            tokenizer=tokenizer,
            model=HFModelView(model),
            framework="hf",
            run_id=run_id,
            folder=self.config.run_log / run_id,
            params=total,
            params_non_embedding=non_embedding,
            rows=rows,
            block=block,
            steps=state.max_steps,
            start_step=state.global_step,
            rank=args.process_index,
            world_size=args.world_size,
            versions=versions("torch", "transformers", "accelerate"),
            sum_over_ranks=partial(sum_over_ranks, trainer),
        )
        self._session = Session(run, resumed, host=[TrainerLog(trainer)])
        skip = done * accumulation
        self._sampler = seam.install(Splice(self._session.infuser, block), self._session.rows_drawn, skip)
        self._drain, stop = watch_batches(model, self._session.batch)
        self._undo = [seam.undo, stop]

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Number the rows of the epoch; before the first of a run, evaluate."""
        if self._sampler is None or self._session is None:
            return
        self._sampler.epoch = self._epoch
        self._epoch += 1
        if state.global_step == 0:
            self._session.step_end(0)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Evaluate where it is due."""
        if self._session:
            self._session.step_end(state.global_step)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take the Trainer's evaluation losses to the run log: they show what is forgotten."""
        if self._session:
            for name, value in (metrics or {}).items():
                if name.endswith("_loss") and name.startswith("eval") and math.isfinite(value):
                    self._session.loss(state.global_step, name.removesuffix("_loss"), float(value))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Keep the exposures so far beside the run log."""
        if self._session:
            self._drain()
            self._session.save(state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count, write the last line, put the loader back as it was."""
        session = self._session
        while self._undo:
            self._undo.pop()()
        if session:
            session.end(state.global_step)
        self._release()

    def state(self) -> dict[str, Any]:
        """What the Trainer keeps in ``trainer_state.json``: enough to refuse a resume that would miscount."""
        kis = {**self._session.state(), "host": self._host} if self._session else None
        return {"args": {"restored": True}, "attributes": {"restored_state": kis}}

    def _release(self) -> None:
        while self._undo:
            self._undo.pop()()
        self._session = self._sampler = None

    def _need_tokenizer(self, processing_class: Any) -> Any:
        tokenizer = self._tokenizer if self._tokenizer is not None else processing_class
        if tokenizer is None:
            hint = "KnowledgeInfusion(config, tokenizer=tokenizer), or Trainer(processing_class=tokenizer)."
            raise KISError(Problem("KnowledgeInfusion", "no tokenizer", "the run's own", hint))
        return tokenizer

    def _resumed(self, args: TrainingArguments, state: TrainerState, done: int) -> Mapping[str, Any] | None:
        """Return what KIS left in the checkpoint that the Trainer resumes from, ``done`` steps into an epoch.

        Raises:
            KISError: The Trainer would skip or repeat rows.
        """
        if not state.global_step:
            return None
        saved: Any = state.stateful_callbacks.get(type(self).__name__) or {}
        saved = (saved[-1] if isinstance(saved, list) else saved).get("attributes", {}).get("restored_state")
        if saved is None:
            return None  # the session says what is wrong with that
        where = f"resume at step {state.global_step}"
        problems = []
        if args.ignore_data_skip and done:
            expected = "False: with it the epoch's rows start over and facts are shown too often"
            problems.append(Problem(f"{where}: ignore_data_skip", "True", expected))
        for name, now in self._host.items():
            before = saved["host"][name]
            if now != before:
                hint = (
                    f"The Trainer skips by batches: with {now}, rows would be lost or repeated. Keep the data, and "
                    "batch size x accumulation x processes."
                )
                problems.append(Problem(f"{where}: {name}", f"{now}", f"{before} as before", hint))
        if problems:
            raise KISError(problems)
        return saved  # type: ignore[no-any-return]
