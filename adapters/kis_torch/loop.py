"""``KnowledgeInfusion`` for a plain loop: reports what the loop does to a KIS session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from kis_plugin.config.load import config_from, load_config
from kis_plugin.config.schema import AMOUNTS, Config
from kis_plugin.errors import KISError, Problem, show_uncaught
from kis_plugin.hashing import IntArray
from kis_plugin.infusion.row_index import InfusedDataset
from kis_plugin.plugins.session import Session
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.identity import new_run_id, resumed_run_id, versions
from kis_plugin.run.log import TrainingRecipe
from kis_plugin.run.ranks import Ranks
from kis_plugin.run.row_lengths import RowLengths
from kis_plugin.tokenized.tokenizer import HFTokenizer, TextTokenizer
from kis_torch.batch import BatchRows
from kis_torch.block_diagonal import use_block_diagonal
from kis_torch.collating import CheckedCollator
from kis_torch.example import BaseExample, Example, row_length
from kis_torch.host_log import HostLog
from kis_torch.labels import IGNORED, LabelRule
from kis_torch.model_view import TorchModelView, eager_module
from kis_torch.parameters import parameter_counts
from kis_torch.ranks import rank_and_size, same_on_all_ranks, sharing_batches, summing
from kis_torch.recipe import optimizer_recipe, repeats
from kis_torch.resume import changed_numbers
from kis_torch.row_infusion import RowInfusion
from kis_torch.row_survey import gives_batches, survey_batches
from kis_torch.sampler import InfusionSampler
from kis_torch.stream import InfusedBatches, InfusedIterableDataset, endless

__all__ = ["KnowledgeInfusion"]


class KnowledgeInfusion:
    """Infuses knowledge into a loop of your own, measures retention, writes the run log.

    Making one evaluates the model before the first step; every rank makes one. A step takes ``accumulation`` batches
    of ``batch_size`` rows on each rank.

    Args:
        config: Path of a ``kis.yaml``, or its contents as a mapping.
        tokenizer: A fast one of ``transformers`` with an EOS token, or any
            ``kis_plugin.tokenized.tokenizer.TextTokenizer``.
        model: Called with ids (B, T), gives logits (B, T, V) or an object with ``.logits``.
        dataset: The data; examples are mappings with ``input_ids`` (T,), or bare ids (T,) or (T + 1,), all of one
            length. With ``collate_fn`` examples of any form and length; and a loader of your own, or a function that
            makes a batch.
        batch_size: Rows of a batch on one rank.
        steps: Optimizer steps of the whole run.
        accumulation: Batches of one step on one rank.
        sequence_length: Tokens a row that are trained on, T: by default all of a row. Give one less for rows that
            hold inputs and targets, ``x, y = row[:-1], row[1:]``.
        rank: By default that of ``torch.distributed``.
        world_size: Likewise.
        data_rank: Which rows this process trains on, where several processes share a batch, as those of a
            tensor-parallel group do: ``mesh["dp"].get_local_rank()``. By default every process has rows of its own.
        data_size: How many groups of processes have rows of their own: ``mesh["dp"].size()``.
        logits: Computes logits where ``model(ids)`` does not: ids (B, T) on its device -> logits (B, T, V).
        log: Called on rank 0 with a step and its retention, for a log of your own.
        sums: Sums an array over ranks; needed where several are not those of ``torch.distributed``.
        optimizer: Yours: its class, learning rate, weight decay and betas go to the run log, so that ``kis-predict``
            warns where the runs of a sweep differ in them.
        resumed: What ``save()`` gave, to go on from there.
        collate_fn: Makes a batch of a list of examples. Batches are then infused after it, whatever it does: padding,
            tokenizing, columns and keys of your own.

    Raises:
        KISError: Anything that would make the counts wrong, before anything is trained.
    """

    def __init__(
        self,
        config: str | Path | Mapping[str, Any],
        tokenizer: Any,
        model: nn.Module,
        dataset: Any,
        *,
        batch_size: int,
        steps: int,
        accumulation: int = 1,
        sequence_length: int | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        data_rank: int | None = None,
        data_size: int | None = None,
        logits: Callable[[torch.Tensor], Any] | None = None,
        log: Callable[[int, Mapping[str, float]], None] | None = None,
        sums: Callable[[IntArray], IntArray] | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        resumed: Mapping[str, Any] | None = None,
        collate_fn: Callable[[Any], Any] | None = None,
    ) -> None:
        show_uncaught()
        self.config: Config = config_from(config) if isinstance(config, Mapping) else load_config(Path(config))
        process, processes = rank_and_size(rank, world_size)
        reduce = sums or summing(processes, next(model.parameters()).device)
        self._processes = sharing_batches(Ranks(process, processes, reduce), data_rank, data_size)
        self._rank, self._ranks = self._processes.data_rank, self._processes.data_size
        self._batch_size, self._accumulation = batch_size, accumulation
        self._numbers = {"rows_per_step": batch_size * self._ranks * accumulation}
        if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
            self._numbers["rows_per_epoch"] = len(dataset)
        if resumed and (problems := changed_numbers(resumed["step"], self._numbers, resumed["host"])):
            raise KISError(problems)
        self.step: int = resumed["step"] if resumed else 0
        """Optimizer steps done."""
        self.batches = self.step * accumulation
        """Batches that this rank was trained on."""
        self._total = steps * accumulation
        self._collate = collate_fn
        self._rule = LabelRule.EQUAL
        self._lengths: RowLengths | None = None
        self._tokens: IntArray | None = None  # of the rows that were looked at
        in_batches = collate_fn is not None or gives_batches(dataset)
        if in_batches:
            self._sequence_length = self._look(dataset, sequence_length)
        else:
            self._sequence_length = row_length(dataset, sequence_length, self.config)
        text = tokenizer if hasattr(tokenizer, "encode_ids") else HFTokenizer(tokenizer)
        self._eos = text.eos
        self._sampler: InfusionSampler | None = None
        self._undo = use_block_diagonal(eager_module(model)) if self._block_diagonal else lambda: None
        rows = self._total * batch_size * self._ranks
        recipe = TrainingRecipe(
            batch_size=self._numbers["rows_per_step"],
            sequence_length=self._sequence_length,
            base_repeats=repeats(rows, getattr(dataset, "dataset", None) if gives_batches(dataset) else dataset),
        )
        run = self._run(text, model, steps, logits, resumed, optimizer_recipe(optimizer, recipe))
        self.session = Session(run, resumed, host=[HostLog(log)] if log else [])
        self._batches: InfusedBatches | None = None
        if in_batches:
            row_infusion = RowInfusion(
                self.session.row_source, self._sequence_length, self._block_diagonal, self._explicit_labels, self._rule
            )
            waiting = (resumed or {}).get("waiting", ())
            self._batches = InfusedBatches(
                row_infusion, self._processes, batch_size, self.session.rows_drawn, self.batches, waiting
            )
        if not self.step:
            self.session.step_end(0)

    def loader(self, dataset: Any, sampler: Any = None, shuffle: bool = True, **keys: Any) -> Iterator[Any]:
        """Yield the batches that are left of the run, epoch after epoch, until ``stopping`` is set.

        Args:
            dataset: Map-style or iterable.
            sampler: An order of your own for a map-style one: the same on every rank.
            shuffle: Read a map-style one in a seeded order, another in each epoch; only without ``sampler``.
            keys: For ``torch.utils.data.DataLoader``: ``num_workers``, ``pin_memory``; ``collate_fn`` where rows are
                all of one length.

        Yields:
            Batches, infused. Of a loader of your own a resume draws and drops those that were trained on; a function
            that makes batches is called for those that are left.
        """
        left = self._total - self.batches
        for batch in self._drawn(dataset, sampler, shuffle, keys) if left else ():
            yield batch if self._batches is None else self._batches.infused(batch)
            left -= 1
            if not left or self.stopping:
                return

    def infuse(self, batch: Any) -> Any:
        """Return a batch that your loop made, infused: the next one of this rank. Its form and device stay.

        Raises:
            KISError: The loop was not begun with ``collate_fn``, a loader or a function that makes batches.
        """
        if self._batches is None:
            expected = "a KnowledgeInfusion that was given collate_fn, a loader, or a function that makes batches"
            raise KISError(Problem("infuse()", "one whose loader infuses the rows", expected))
        return self._batches.infused(batch)

    def _drawn(self, dataset: Any, sampler: Any, shuffle: bool, keys: dict[str, Any]) -> Iterator[Any]:
        """Yield batches for ever; those of rows of one length are infused."""
        if gives_batches(dataset):
            return endless(dataset, self.batches) if isinstance(dataset, DataLoader) else iter(dataset, object())
        base: Any = self.dataset(dataset)
        keys |= {"batch_size": self._batch_size}
        if self._collate is not None:
            keys["collate_fn"] = CheckedCollator(self._collate, "collate_fn")
        if isinstance(base, IterableDataset):
            return endless(DataLoader(base, **keys))
        numbered, self._sampler = self.sampler(dataset if sampler is None else sampler, shuffle), None
        return self._epochs(DataLoader(base, sampler=numbered, drop_last=True, **keys), numbered)

    def _epochs(self, loader: DataLoader[Any], sampler: InfusionSampler) -> Iterator[Any]:
        """Yield the batches of epoch after epoch; a loop may take some before it reports those that came earlier."""
        given = self.batches
        while True:
            sampler.trained = given
            for batch in loader:
                given += 1
                yield batch

    def dataset(self, base: Any) -> InfusedDataset | InfusedIterableDataset:
        """Return your dataset infused: a map-style one needs ``sampler()`` beside it.

        With ``collate_fn`` rows are only numbered: ``infuse()`` takes the collated batches.
        """
        example: Any = Example(
            self.session.row_source, self._sequence_length, self._eos, self._block_diagonal, self._explicit_labels
        )
        if self._batches is not None:
            example = BaseExample()
        if isinstance(base, IterableDataset) or not hasattr(base, "__getitem__"):
            return InfusedIterableDataset(
                base, example, self._total, self._batch_size, self._rank, self._ranks, self.batches
            )
        return InfusedDataset(base, example)

    def sampler(self, source: Any, shuffle: bool = True) -> InfusionSampler:
        """Return the sampler of this rank, standing where training stands.

        Args:
            source: The dataset, or a sampler whose order is kept.
            shuffle: Read a dataset in a seeded order.
        """
        seed = self.config.seed
        self._sampler = InfusionSampler(source, self._batch_size, self._rank, self._ranks, shuffle, seed)
        self._sampler.advance(self.batches)
        return self._sampler

    def batch(self, batch: Any) -> None:
        """Report that the model was trained on a batch: ids (B, T) or (B, T + 1), or a mapping with ``input_ids``.

        With ``collate_fn``, or batches of your own, a batch has the form that they have.

        Raises:
            KISError: More batches than the run has, or one of another shape.
        """
        if self._batches is not None:
            self._report(BatchRows.of(batch, self._batch_size))
            return
        ids = batch["input_ids"] if isinstance(batch, Mapping) else batch
        ids = np.asarray(ids.detach().cpu() if isinstance(ids, torch.Tensor) else ids, dtype=np.int64)
        shapes = [(self._batch_size, self._sequence_length), (self._batch_size, self._sequence_length + 1)]
        if ids.shape not in shapes or self.batches >= self._total:
            found = f"batch {self.batches + 1}, of shape {ids.shape}"
            raise KISError(Problem("batch()", found, f"{self._total} batches in all, each {shapes[0]} or {shapes[1]}"))
        labels = batch.get("labels") if isinstance(batch, Mapping) else None
        if isinstance(labels, torch.Tensor):
            labels = np.asarray(labels.detach().cpu(), dtype=np.int64)
        if labels is not None and np.shape(labels) != ids.shape:
            labels = None
        first = (self.batches * self._ranks + self._rank) * self._batch_size
        self.session.rows_drawn(range(first, first + self._batch_size))
        kept = slice(-self._sequence_length, None)
        self.session.batch(ids[:, kept], None if labels is None else labels[:, kept])
        self.batches += 1
        if self._sampler is not None:
            self._sampler.advance()

    def _report(self, rows: BatchRows) -> None:
        """Count a batch of any form."""
        count = len(rows.bounds)
        if count != self._batch_size or self.batches >= self._total:
            found = f"batch {self.batches + 1}, of {count} rows"
            raise KISError(Problem("batch()", found, f"{self._total} batches in all, each of {self._batch_size} rows"))
        ids = rows.by_row("input_ids", -1)
        assert ids is not None
        self.session.batch(ids, rows.by_row("labels", IGNORED))
        self.batches += 1
        if self._sampler is not None:
            self._sampler.advance()

    def step_end(self, step: int) -> None:
        """Report that ``step`` optimizer steps are done. Every rank.

        Raises:
            KISError: Another step than comes next, or batches that were not reported.
        """
        due = step * self._accumulation
        if step != self.step + 1 or self.batches != due:
            found = f"step {step} after step {self.step}, and {self.batches} batches"
            hint = "Call batch() for every batch that is trained on."
            raise KISError(Problem("step_end()", found, f"step {self.step + 1} after {due} batches", hint))
        self.step = step
        self.session.step_end(step)

    @property
    def stopping(self) -> str | None:
        """Why training ends after this step, where ``retention.guard`` stops it; None while it goes on."""
        return self.session.stopping

    def loss(self, step: int, split: str, value: float) -> None:
        """Write a loss on general text, nats per token, to the run log: it shows what is forgotten."""
        self.session.loss(step, split, value)

    def save(self) -> dict[str, Any]:
        """Return what goes into your checkpoint, as JSON values, right after a step. Every rank.

        Raises:
            KISError: Batches were trained on since the last step ended: a resume would train on them again.
        """
        if self.batches != self.step * self._accumulation:
            found = f"{self.batches} batches at step {self.step}"
            expected = f"{self.step * self._accumulation}: a checkpoint right after step_end()"
            raise KISError(Problem("save()", found, expected, "A resume would train on the others again."))
        self.session.save(self.step)
        state = {**self.session.state(), "host": self._numbers, "step": self.step}
        return state if self._batches is None else {**state, "waiting": self._batches.waiting(self.batches)}

    def end(self) -> None:
        """Count, write the last line. Every rank; a second call does nothing."""
        self._undo()
        self.session.end(self.step)

    def __enter__(self) -> KnowledgeInfusion:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:  # ranks would wait for one that failed
            self.end()

    def _look(self, dataset: Any, sequence_length: int | None) -> int:
        """Look at the rows of collated batches; return the tokens of the longest."""
        infuses = any(getattr(self.config.infusion, amount) for amount in AMOUNTS)
        survey, sample = survey_batches(dataset, self._collate, self._batch_size, infuses)
        self._rule, self._tokens = survey.rule, survey.tokens
        if not survey.uniform:
            lengths = self._of_all_ranks(survey.lengths) if sample else survey.lengths
            self._lengths = RowLengths(lengths, sample)
        return sequence_length or int((survey.lengths if self._lengths is None else self._lengths.lengths).max())

    def _of_all_ranks(self, own: IntArray) -> IntArray:
        """Return what all ranks looked at: they must plan alike."""
        size = self._processes.greatest(len(own))
        every = np.zeros((self._ranks, size), dtype=np.int64)
        every[self._rank, : len(own)] = own
        found = self._processes.sum(every).ravel()
        return found[found > 0]

    @property
    def _explicit_labels(self) -> bool:
        return self.config.infusion.loss != "all"

    @property
    def _block_diagonal(self) -> bool:
        return self.config.infusion.attention == "sentence"

    def _run(
        self,
        tokenizer: TextTokenizer,
        model: nn.Module,
        steps: int,
        logits: Callable[[torch.Tensor], Any] | None,
        resumed: Mapping[str, Any] | None,
        recipe: TrainingRecipe,
    ) -> TrainingRun:
        total, non_embedding = parameter_counts(eager_module(model))
        run_id = (
            resumed_run_id(resumed, self.config.run_log)
            if resumed
            else same_on_all_ranks(new_run_id("torch", total, self.config))
        )
        return TrainingRun(
            config=self.config,
            tokenizer=tokenizer,
            model=TorchModelView(model, logits),
            framework="torch",
            run_id=run_id,
            folder=self.config.run_log / run_id,
            params=total,
            params_non_embedding=non_embedding,
            rows=self._total * self._batch_size * self._ranks,
            sequence_length=self._sequence_length,
            steps=steps,
            recipe=recipe,
            row_lengths=self._lengths,
            base_tokens=self._tokens,
            start_step=self.step,
            ranks=self._processes,
            versions=versions("torch"),
        )
