"""``KnowledgeInfusion``: reports the Trainer's events to a KIS session."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import SaveStrategy

from kis_hf.batch_numbering import BatchNumbering, BatchSurvey
from kis_hf.best_metric import BestMetric, call_before_early_stopping, evaluations
from kis_hf.epochs import Epochs, Position
from kis_hf.host import log_of, ranks_of, refuse_parallel, trainer_of
from kis_hf.recipe import recipe_of
from kis_hf.resume import kept_by_kis, refuse_other_numbers, refuse_other_place
from kis_hf.row_numbering import RowNumbering, check_collator, masks_eos
from kis_hf.whole_batches import watch_sequence_parallel, watch_whole_batches
from kis_hf.whole_checkpoint import refuse_torn_for
from kis_plugin.config.load import config_from, load_config
from kis_plugin.config.schema import AMOUNTS, Config
from kis_plugin.errors import KISError, Problem, show_uncaught
from kis_plugin.hashing import IntArray
from kis_plugin.infusion.row_index import InfusedDataset, NumberedSampler
from kis_plugin.plugins.session import Session
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.identity import new_run_id, resumed_run_id, versions
from kis_plugin.run.log import TrainingRecipe
from kis_plugin.run.row_lengths import RowLengths
from kis_plugin.tokenized.tokenizer import HFTokenizer
from kis_torch.block_diagonal import use_block_diagonal
from kis_torch.collating import refuse_unpadded
from kis_torch.model_view import TorchModelView
from kis_torch.parameters import parameter_counts
from kis_torch.ranks import same_on_all_ranks
from kis_torch.recipe import repeats
from kis_torch.room import RoomQueue, RoomSampler
from kis_torch.row_infusion import RowInfusion, common_length
from kis_torch.row_survey import RowSurvey, survey_rows
from kis_torch.watch import watch_batches

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
        show_uncaught()
        refuse_torn_for(KnowledgeInfusion)
        latest = KnowledgeInfusion._latest
        self._tokenizer = tokenizer
        if restored and latest is not None:
            # restore_callback_states_from_checkpoint makes a new callback from JSON, which cannot hold a tokenizer.
            self.config: Config = latest.config
            self._tokenizer = latest._tokenizer
        elif isinstance(config, Mapping):
            self.config = config_from(config)
        elif isinstance(config, (str, Path)):
            self.config = load_config(Path(config))
        else:
            found = "no config" if config is None else f"a config of type {type(config).__name__}"
            raise KISError(Problem("KnowledgeInfusion", found, "the path of a kis.yaml, or a mapping"))
        self._session: Session | None = None
        self._trained: tuple[Session, Any] | None = None  # the last session, and the model that it trained
        self._undo: list[Callable[[], None]] = []
        self._drain: Callable[[], None]  # there is one while there is a session
        self._sampler: NumberedSampler | None = None
        self._stream: BatchNumbering | None = None
        self._host: dict[str, int] = {}
        self._losses: list[tuple[int, str, float]] = []  # measured before the session began
        self._best: BestMetric | None = None
        self._epoch = 0
        KnowledgeInfusion._latest = self

    def infuse(self, dataset: Any) -> InfusedDataset:
        """Return ``dataset`` infused for one epoch in any order, for a training loop of your own.

        Args:
            dataset: Map-style, with packed rows of one length.
        """
        from kis_plugin.infusion.build_plan import plan_infusion
        from kis_plugin.infusion.inputs import load_inputs

        sequence_length = common_length(dataset)
        inputs = load_inputs(self.config, HFTokenizer(self._need_tokenizer(None)), sequence_length)
        plan = plan_infusion(inputs, len(dataset))
        return InfusedDataset(dataset, RowInfusion(plan, sequence_length, self._block_diagonal, self._explicit_labels))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Put the infusion between the prepared loader and the training loop, and refuse what cannot be exact."""
        self._release()
        trainer, loader = trainer_of(self), kwargs["train_dataloader"]
        refuse_parallel(trainer)
        self._refuse_another(trainer)
        self._best = BestMetric.of(args)
        if self._best is not None:
            call_before_early_stopping(trainer, self)
        begin = partial(self._start, trainer, loader, kwargs["model"], kwargs.get("processing_class"))
        # Collators make labels from ids: where some tokens are no targets, or EOS would be none, rows are infused after
        # the collator.
        survey = None
        if RowNumbering.fits(loader) and not self._explicit_labels and not masks_eos(loader):
            survey = survey_rows(loader.base_dataloader.dataset, self._infuses)
        if survey is None:
            self._number_in_batches(trainer, loader, begin, args, state)
        else:
            self._number_in_sampler(loader, begin, args, state, survey)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Number the rows of the epoch; before the first of a run, evaluate."""
        if self._stream is not None:
            self._stream.epoch_begins()
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
            control.should_training_stop |= self._session.stopping is not None
            self._keep_exposures(state, control.should_save)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keep the exposures of a checkpoint that is due."""
        self._keep_exposures(state, control.should_save)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the Trainer's evaluation losses to the run log: they show what is forgotten.

        Give the Trainer the retention that ``metric_for_best_model`` names.
        """
        for name, value in (metrics or {}).items():
            if name.endswith("_loss") and name.startswith("eval"):
                self._losses.append((state.global_step, name.removesuffix("_loss"), float(value)))
        self._publish_losses()
        if self._best is not None and self._session is not None and isinstance(metrics, dict):
            self._best.put_into(metrics, state.global_step, self._session.diverged is not None)
        # Whether this one is the best is decided after this event, and the checkpoint is written then.
        self._keep_exposures(state, args.save_strategy == SaveStrategy.BEST)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Keep the exposures so far beside the run log, unless they are there already."""
        if self._session:
            self._drain()
            self._session.save(state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count, write the last line, restore the loader."""
        session = self._session
        while self._undo:
            self._undo.pop()()
        if session:
            session.end(state.global_step)
        self._release()

    def state(self) -> dict[str, Any]:
        """Return what the Trainer keeps in ``trainer_state.json``: enough to refuse a resume that would miscount."""
        kis = {**self._session.state(), "host": self._host} if self._session else None
        if kis and self._stream:
            kis["position"] = asdict(self._stream.position)
        if kis and isinstance(self._sampler, RoomSampler):
            kis["room"] = self._sampler.state()
        return {"args": {"restored": True}, "attributes": {"restored_state": kis}}

    def _keep_exposures(self, state: TrainerState, due: bool) -> None:
        """Write the exposures before the Trainer writes a checkpoint: killed in between, it would have none."""
        if due and self._session:
            self._drain()
            self._session.keep_exposures(state.global_step)

    def _refuse_another(self, trainer: Trainer) -> None:
        """Refuse a second callback of this kind: both would number the same rows."""
        count = sum(isinstance(one, KnowledgeInfusion) for one in trainer.callback_handler.callbacks)
        if count > 1:
            hint = (
                "One run has one plan. Put facts and documents into one folder as its knowledge; what is to be shown "
                "in another amount is another run."
            )
            raise KISError(Problem("callbacks", f"{count} of KnowledgeInfusion", "one", hint))

    def _number_in_sampler(
        self,
        loader: Any,
        begin: Callable[..., Session],
        args: TrainingArguments,
        state: TrainerState,
        survey: RowSurvey,
    ) -> None:
        """Number the rows in the sampler: map-style data."""
        numbering = RowNumbering.find(loader)
        sequence_length = int(survey.lengths.max())
        lengths = None if survey.uniform or not self._infuses else RowLengths(survey.lengths)
        if lengths is not None:
            dataset, ends = numbering.loader.dataset, (survey.lengths.argmin(), survey.lengths.argmax())
            refuse_unpadded(numbering.loader.collate_fn, [dataset[int(end)] for end in ends], "data_collator")
        accumulation = args.gradient_accumulation_steps
        steps_per_epoch = max(math.ceil(len(loader) / accumulation), 1)
        whole, rest = divmod(state.max_steps, steps_per_epoch)
        rows_per_step = numbering.rows_per_batch * accumulation
        rows = whole * numbering.rows_per_epoch + min(rest * rows_per_step, numbering.rows_per_epoch)
        self._host = {"rows_per_step": rows_per_step, "rows_per_epoch": numbering.rows_per_epoch}
        self._epoch, done = divmod(state.global_step, steps_per_epoch)
        resumed = kept_by_kis(self, state)
        if resumed:
            refuse_other_numbers(state.global_step, self._host, resumed, bool(args.ignore_data_skip and done))
        session = begin(args, state, rows, sequence_length, resumed, lengths, survey.tokens)
        source = session.row_source
        row_infusion = RowInfusion(source, sequence_length, self._block_diagonal, rule=survey.rule)
        room = None
        if lengths is not None:
            waiting = RoomSampler.waiting_at(self._epoch, (resumed or {}).get("room"))
            room = RoomQueue(source.infused, waiting), survey.lengths >= source.sequence_length
        self._sampler = numbering.install(row_infusion, session.rows_drawn, done * accumulation, room)
        self._undo.append(numbering.undo)

    def _number_in_batches(
        self, trainer: Trainer, loader: Any, begin: Callable[..., Session], args: TrainingArguments, state: TrainerState
    ) -> None:
        """Number the rows in the batches of each step: iterable data, batch samplers of the user's own."""
        epochs, accumulation = Epochs.of(trainer, loader), args.gradient_accumulation_steps
        rows = epochs.rows_of_run(state.max_steps, accumulation)
        self._host = {"rows_per_step": epochs.size * epochs.ranks * accumulation, **epochs.numbers}
        position = epochs.resumed_at(state.global_step, accumulation, not args.ignore_data_skip)
        resumed = kept_by_kis(self, state)
        if resumed:
            refuse_other_numbers(state.global_step, self._host, resumed)
            before = Position(**resumed["position"])
            if not epochs.same(before, position):
                refuse_other_place(state.global_step, before, position, self.config, args.process_index)
            position.rows, position.lengths, position.waiting = before.rows, before.lengths, before.waiting

        def start(survey: BatchSurvey) -> tuple[Session, RowInfusion]:
            lengths = (
                None if survey.lengths is None else RowLengths(np.array(survey.lengths, dtype=np.int64), sample=True)
            )
            session = begin(args, state, rows, survey.sequence_length, resumed, lengths, survey.tokens)
            self._publish_losses()
            if state.global_step == 0:
                session.step_end(0)
            return session, RowInfusion(
                session.row_source, survey.sequence_length, self._block_diagonal, self._explicit_labels, survey.rule
            )

        self._stream = BatchNumbering(trainer, epochs, start, position, self._infuses)
        self._undo += [self._stream.undo, check_collator(loader)]

    def _start(
        self,
        trainer: Trainer,
        loader: Any,
        model: Any,
        processing_class: Any,
        args: TrainingArguments,
        state: TrainerState,
        rows: int,
        sequence_length: int,
        resumed: Mapping[str, Any] | None,
        row_lengths: RowLengths | None = None,
        base_tokens: IntArray | None = None,
    ) -> Session:
        """Plan the run, and watch what the model is given."""
        total, non_embedding = parameter_counts(model)
        run_id = (
            resumed_run_id(resumed, self.config.run_log)
            if resumed
            else same_on_all_ranks(new_run_id("hf", total, self.config))
        )
        run = TrainingRun(
            config=self.config,
            tokenizer=HFTokenizer(self._need_tokenizer(processing_class)),
            model=TorchModelView(model),
            framework="hf",
            run_id=run_id,
            folder=self.config.run_log / run_id,
            params=total,
            params_non_embedding=non_embedding,
            rows=rows,
            sequence_length=sequence_length,
            steps=state.max_steps,
            recipe=recipe_of(trainer, state.max_steps, self._rows_of_recipe(trainer, rows, sequence_length)),
            row_lengths=row_lengths,
            base_tokens=base_tokens,
            evaluated_at=self._evaluated_at(args, state.max_steps),
            start_step=state.global_step,
            ranks=ranks_of(trainer),
            versions=versions("torch", "transformers", "accelerate"),
        )
        if self._block_diagonal:
            self._undo.append(use_block_diagonal(model))
        # A Trainer that starts anew, as after out of memory with auto_find_batch_size, keeps the weights that it has.
        same_weights = resumed is None and self._trained is not None and self._trained[1] is model
        earlier = self._trained[0] if same_weights and self._trained else None
        session = self._session = Session(
            run, resumed, host=[log_of(trainer), *([self._best] if self._best else [])], earlier=earlier
        )
        self._trained = session, model
        if int(trainer.get_cp_size() or 1) > 1:
            self._drain, stop = watch_whole_batches(trainer, session.batch)
        elif int(trainer.get_sp_size() or 1) > 1:
            self._drain, stop = watch_sequence_parallel(trainer, loader, session.batch)
        else:
            self._drain, stop = watch_batches(
                model, session.batch, sequence_length, row_lengths is None, lambda: session.checks_delivery
            )
        self._undo.append(stop)
        return session

    def _rows_of_recipe(self, trainer: Trainer, rows: int, sequence_length: int) -> TrainingRecipe:
        """Return what is known of the rows of a step and of how often the data is read."""
        read = self._host["rows_per_epoch"] or None
        return TrainingRecipe(
            batch_size=self._host["rows_per_step"],
            sequence_length=sequence_length,
            base_repeats=repeats(rows, trainer.train_dataset, read),
        )

    def _evaluated_at(self, args: TrainingArguments, steps: int) -> frozenset[int]:
        """Return where the Trainer needs retention."""
        if self._best is None:
            return frozenset()
        rows = self._host["rows_per_epoch"]
        return evaluations(args, steps, -(-rows // self._host["rows_per_step"]) if rows else None)

    @property
    def _infuses(self) -> bool:
        return any(getattr(self.config.infusion, amount) for amount in AMOUNTS)

    @property
    def _explicit_labels(self) -> bool:
        return self.config.infusion.loss != "all"

    @property
    def _block_diagonal(self) -> bool:
        return self.config.infusion.attention == "sentence"

    def _publish_losses(self) -> None:
        while self._session and self._losses:
            self._session.loss(*self._losses.pop(0))

    def _release(self) -> None:
        while self._undo:
            self._undo.pop()()
        self._session = self._sampler = self._stream = self._best = None
        self._losses = []

    def _need_tokenizer(self, processing_class: Any) -> Any:
        tokenizer = self._tokenizer if self._tokenizer is not None else processing_class
        if tokenizer is None:
            hint = "KnowledgeInfusion(config, tokenizer=tokenizer), or Trainer(processing_class=tokenizer)."
            raise KISError(Problem("KnowledgeInfusion", "no tokenizer", "the run's own", hint))
        return tokenizer
