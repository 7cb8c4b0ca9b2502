"""Reports one training run of LitGPT to a KIS session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from kis_litgpt.loader import InfusedLoader, Numbering
from kis_litgpt.model import LitModelView, parameter_counts
from kis_litgpt.model_input import ModelInput
from kis_litgpt.pretrain_hooks import Host
from kis_litgpt.resume import Layout, changed_order, changed_steps, deal_to_one, differs_between_ranks
from kis_litgpt.tokenizer import LitTokenizer
from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.escapes import to_stderr
from kis_plugin.plugins.session import Session
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.identity import new_run_id, resumed_run_id, versions
from kis_plugin.run.log import TrainingRecipe
from kis_plugin.run.ranks import Ranks
from kis_torch.host_log import HostLog, add_chart
from kis_torch.ranks import same_on_all_ranks, sum_over_ranks
from kis_torch.recipe import optimizer_recipe, repeats, unwrapped, with_warmup
from kis_torch.watch import HostCopy

__all__ = ["Training"]

_UNSUPPORTED = (
    ("loss", "all", "LitGPT's training loop takes the loss of every token of a row."),
    ("attention", "row", "LitGPT's training loop gives its model no positions and no mask."),
)
_SUPPORTED_IN = "docs/how-to/huggingface.md"
_STRATEGIES = ("DDPStrategy", "FSDPStrategy")  # of Fabric, tested with several processes


class Training:
    """Listens to the hooks and drives the session.

    Args:
        config: What is infused and evaluated.
        tokenizer: The run's.
        loader: The infused train loader.
    """

    def __init__(self, config: Config, tokenizer: LitTokenizer, loader: InfusedLoader) -> None:
        self._config, self._tokenizer, self._loader = config, tokenizer, loader
        self._step = 0
        self._validated: int | None = None
        self._saved = False
        self._given: HostCopy | None = None
        self._charted = False
        self._input: ModelInput | None = None

    def begin(self, host: Host) -> None:
        """Plan the run, refuse what cannot be exact, put the infusion into the loader, evaluate before the first step.

        Raises:
            KISError: Anything that would make the counts wrong, before the first step.
        """
        self._host = host
        fabric, state = host.fabric, host.state
        step = self._step = state["step_count"]
        _refuse(host, self._config, self._tokenizer, self._loader)
        total, non_embedding = parameter_counts(host.model.config, bool(host.train.tie_embeddings))
        resumed = self._loader.restored if step else None
        layout = Layout.of(host, resumed)
        if resumed:
            self._continue_in(layout, Layout.kept_in(resumed))
        run_id = (
            resumed_run_id(resumed, self._config.run_log)
            if resumed
            else same_on_all_ranks(new_run_id("litgpt", total, self._config))
        )
        # LitGPT has its own interval for evaluation; the retention curve gets the same steps as its losses.
        every = max(int(host.evaluation.interval), 1)
        config = replace(self._config, retention=replace(self._config.retention, every=every))
        model = LitModelView.of(fabric, host.model)
        run = TrainingRun(
            config=config,
            tokenizer=self._tokenizer,
            model=model,
            framework="litgpt",
            run_id=run_id,
            folder=config.run_log / run_id,
            params=total,
            params_non_embedding=non_embedding,
            rows=host.rows,
            sequence_length=host.sequence_length,
            steps=host.steps,
            recipe=_recipe(host, self._loader.epochs.loader),
            start_step=step,
            ranks=Ranks(fabric.global_rank, fabric.world_size, partial(sum_over_ranks, device=fabric.device)),
            versions=versions("torch", "litgpt"),
        )
        self.session = Session(run, resumed, host=[HostLog(self._log)])
        if fabric.world_size > 1:
            # Stock LitGPT would do this to the base loader: its sampler gives every rank rows of its own.
            base = fabric.setup_dataloaders(self._loader.epochs.loader, move_to_device=False)
            self._loader.epochs.loader = base._dataloader
        elif layout.dealt:
            deal_to_one(self._loader.epochs.loader)
        numbering = Numbering(host.train.micro_batch_size, host.iterations, fabric.global_rank, fabric.world_size)
        self._loader.describe = lambda: {**self.session.state(), "host": layout.kept()}
        self._loader.start(self.session.row_source, numbering, self.session.rows_drawn, run.notify)
        if fabric.global_rank == 0:
            run.notify(f"kis: retention is measured every {every} steps, LitGPT's eval.interval.")
        if not step:
            self.session.step_end(0)
        if self.session.checks_delivery:
            self._input = ModelInput(host.model._forward_module, model.embedding)

    def watched(self, batches: Any) -> Any:
        """Return the batches, each of which is counted when ``fit`` has trained on it."""
        return _Watched(self, batches)

    def give(self, batch: torch.Tensor) -> None:
        """Note what ``fit`` receives: (B, T + 1 or more)."""
        self._given = HostCopy(batch[:, 1 : self._host.sequence_length + 1])

    def settle(self) -> None:
        """Count the batch that was given last, and end the step if it was the last of one."""
        if self._given is not None:
            given, self._given = self._given.numpy(), None
            self.session.batch(*((given,) if self._input is None else self._input.rows(given)))
        step = self._host.state["step_count"]
        if step > self._step:
            self._step = step
            self.session.step_end(step)
            if self._input is not None and not self.session.checks_delivery:
                self._input.stop()
                self._input = None

    def loss_of(self, targets: torch.Tensor) -> None:
        """Note what the loss of a batch is taken of, while that is checked."""
        if self._input is not None:
            self._input.loss_of(targets)

    @property
    def stopping(self) -> bool:
        """Whether training is to end after this step."""
        return self.session.stopping is not None

    def validated(self, loss: float, max_iters: int) -> None:
        """Write LitGPT's validation loss to the run log.

        Skipped are the two batches that LitGPT checks its settings with, and the final validation after one at the same
        step.
        """
        if max_iters == self._host.evaluation.max_iters and self._validated != self._step:
            self._validated = self._step
            self.session.loss(self._step, "val", loss)

    def saving(self) -> None:
        """Write the exposures so far beside the run log, before the checkpoint that needs them."""
        if not self._saved:
            self._saved = True
            self._warn_of_places()
        self.session.save(self._step)

    def _warn_of_places(self) -> None:
        """Warn where each rank's data loader keeps a place of its own."""
        run, epochs = self.session.run, self._loader.epochs
        if epochs.stateful and differs_between_ranks(epochs.loader.state_dict(), run.ranks) and run.rank == 0:
            run.notify(
                "kis: warning: the state of the data loader differs between processes, and LitGPT saves that of rank 0 "
                "alone. After a resume every process reads on from there: base text may be repeated or left out. "
                "Counts of facts stay exact."
            )

    def end(self) -> None:
        """Count, write the last line."""
        self.settle()
        self.session.end(self._step)

    def _continue_in(self, now: Layout, before: Layout) -> None:
        """Count what was trained on in the iterations of this layout: LitGPT takes its place from ``iter_num``."""
        state, loader = self._host.state, self._loader
        loader.iteration = state["iter_num"] = now.batches(before, loader.iteration)
        loader.epochs.given = loader.epochs.given * before.rows_per_iteration // now.rows_per_iteration

    def _log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log retention to LitGPT's own logger, at the iteration that LitGPT logs its losses at."""
        fabric = self._host.fabric
        fabric.log_dict(metrics, step=max(self._host.state["iter_num"] - 1, 0))
        if not self._charted:
            self._charted = True
            add_chart([getattr(logger, "experiment", None) for logger in fabric.loggers], metrics)


def _recipe(host: Host, data: Any) -> TrainingRecipe:
    """Return how LitGPT trains: it knows one schedule, and keeps the peak learning rate in the optimizer's defaults."""
    optimizer = host.state.get("optimizer")
    known = TrainingRecipe(
        lr_schedule="cosine",
        batch_size=host.rows_per_iteration * host.iterations_per_step,
        sequence_length=host.sequence_length,
        base_repeats=repeats(host.rows, getattr(data, "dataset", None)),
    )
    recipe = optimizer_recipe(optimizer, known)
    rate = getattr(unwrapped(optimizer), "defaults", {}).get("lr")
    recipe = replace(recipe, learning_rate=recipe.learning_rate if rate is None else float(rate))
    return with_warmup(recipe, host.warmup_steps(data), host.steps)


class _Watched:
    """Fabric's loader as ``fit`` sees it."""

    def __init__(self, training: Training, batches: Any) -> None:
        self._training, self._batches = training, batches

    def __iter__(self) -> Iterator[torch.Tensor]:
        # LitGPT iterates again where its data ends, and ends training where there is none.
        if self._training.stopping:
            return
        for batch in self._batches:
            self._training.give(batch)
            yield batch
            self._training.settle()
            if self._training.stopping:
                return

    def __len__(self) -> int:
        return len(self._batches)


def _refuse(host: Host, config: Config, tokenizer: LitTokenizer, loader: InfusedLoader) -> None:
    """Refuse what cannot be exact.

    Raises:
        KISError: All of it.
    """
    fabric, state = host.fabric, host.state
    problems = [
        Problem(
            f"{config.path or 'config'} infusion.{key}", given, possible, f"{why} The Trainer can ({_SUPPORTED_IN})."
        )
        for key, possible, why in _UNSUPPORTED
        if (given := getattr(config.infusion, key)) != possible
    ]
    kinds = {kind.__name__ for kind in type(fabric.strategy).__mro__}
    if fabric.world_size > 1 and not kinds & set(_STRATEGIES):
        hint = "Others are refused until they are tested."
        found = f"{fabric.world_size} processes under {type(fabric.strategy).__name__}"
        problems.append(Problem("devices", found, f"one, or {' or '.join(_STRATEGIES)}", hint))
    if host.steps < 1:
        found = f"{host.train.max_tokens} tokens, {host.iterations} iterations"
        expected = f"at least the {host.iterations_per_step} iterations of one optimizer step"
        problems.append(Problem("train.max_tokens", found, expected))
    if tokenizer.vocabulary > host.model.config.padded_vocab_size:
        expected = f"at most padded_vocab_size of the model, {host.model.config.padded_vocab_size}"
        problems.append(Problem("tokenizer_dir", f"token ids up to {tokenizer.vocabulary - 1}", expected))
    where, saved = f"resume at step {state['step_count']}", loader.restored
    if state["step_count"] and saved is not None:
        now, before = Layout.of(host, saved), Layout.kept_in(saved)
        problems += changed_steps(state["step_count"], now, before)
        moved = changed_order(state["step_count"], now, before, loader.epochs)
        if config.on_mismatch == "error":
            problems += moved
        elif moved and fabric.global_rank == 0:
            to_stderr(f"kis: warning: on_mismatch is warn, and the data continues elsewhere: {moved[0]}")
        if loader.iteration != state["iter_num"]:
            found = f"data at iteration {loader.iteration}, training at {state['iter_num']}"
            problems.append(Problem(where, found, "both at the same"))
    if problems:
        raise KISError(problems)
