"""From a grid to runs: shapes, token budgets, what fits beside general text, and one configuration for each run."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from kis_plugin.amounts import short
from kis_plugin.config.load import load_config
from kis_plugin.config.schema import CHOICES, RETENTION_PATHS, Config, is_file_name
from kis_plugin.errors import KISError, Problem
from kis_plugin.infusion.build_plan import plan_infusion
from kis_plugin.infusion.inputs import load_inputs
from kis_plugin.storage.atomic_write import write_atomically
from kis_plugin.storage.yaml_nodes import read_yaml
from kis_plugin.tokenized.tokenizer import TextTokenizer
from kis_predict.sweep import MOST_SHARE
from kis_sweep.grid import Cell
from kis_sweep.run_spec import Recipe, SweepRun
from kis_sweep.run_spec_file import sweep_run_text
from kis_sweep.training import Training, starts_of

__all__ = [
    "Base", "rows_of_a_step", "runs_for", "tokens_of_an_exposure", "too_much", "unfit", "write_run",
]  # fmt: skip

_FEWEST_STEPS = 500
_MOST_BATCH = 1 << 19  # tokens


@dataclass(frozen=True)
class Base:
    """The configuration of KIS that all runs share but for amount, seed and place of the log.

    Attributes:
        values: As written, paths within as absolute ones.
        config: The same, read.
    """

    values: Mapping[str, Any]
    config: Config

    @classmethod
    def read(cls, path: Path) -> Base:
        """Read ``kis.yaml``.

        Raises:
            KISError: Anything wrong with it.
        """
        path = path.resolve()
        config = load_config(path)
        action = config.retention.guard.action
        if action not in ("none", "warn"):
            expected = "warn or none: kis-predict learns nothing from a run whose amount is changed, or that is stopped"
            raise KISError(Problem(f"{path} retention.guard.action", action, expected))
        values = read_yaml(path, "a configuration of KIS").plain()
        values["knowledge"] = config.knowledge
        if is_file_name(config.templates or ""):
            values["templates"] = Path(str(config.templates))
        if config.cache:
            values["cache"] = config.cache
        infusion, retention = values.setdefault("infusion", {}), values.setdefault("retention", {})
        for key in CHOICES.keys() & infusion.keys():
            choice = getattr(config.infusion, key)
            infusion[key] = {"name": choice.name, **choice.options}
        retention |= {key: getattr(config.retention, key) for key in RETENTION_PATHS if retention.get(key)}
        return cls(values, config)

    def shared(self, place: Path) -> str:
        """Return the ``kis.yaml`` that all runs share, as it will lie in ``place``."""
        return yaml.safe_dump(_relative(self.values, place), sort_keys=False, allow_unicode=True)

    def text(self, run: SweepRun, place: Path) -> str:
        """Return the ``kis.yaml`` of a run that will lie in ``place``; paths are relative to it."""
        infusion = {key: value for key, value in self.values["infusion"].items() if key not in ("share", "tokens")}
        values = dict(self.values) | {
            "infusion": infusion | {"frequency": run.frequency},
            "run_log": Path(os.path.normpath(place / ".." / ".." / "runs" / run.name)),
            "seed": run.recipe.seed,
        }
        return yaml.safe_dump(_relative(values, place), sort_keys=False, allow_unicode=True)


def _relative(value: Any, place: Path) -> Any:
    if isinstance(value, Mapping):
        return {key: _relative(item, place) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_relative(item, place) for item in value]
    return os.path.relpath(value, place) if isinstance(value, Path) else value


def rows_of_a_step(least_budget: float, sequence_length: int, batch_tokens: int | None) -> int:
    """Return the rows of a step: by default a power of 2, so that every model takes 500 steps or more.

    Args:
        least_budget: The smallest D.
        sequence_length: Tokens of a row.
        batch_tokens: Tokens of a step, if they are set.

    Raises:
        KISError: ``batch_tokens`` is no whole number of rows.
    """
    if batch_tokens is None:
        most = min(least_budget / _FEWEST_STEPS, _MOST_BATCH) / sequence_length
        return 1 << math.floor(math.log2(max(most, 1)))
    if batch_tokens % sequence_length:
        raise KISError(Problem("--batch-tokens", f"{batch_tokens:,}", f"a multiple of --block, {sequence_length:,}"))
    return batch_tokens // sequence_length


def runs_for(sweep: Path, cells: Sequence[Cell], training: Training) -> list[SweepRun]:
    """Return a run for each cell.

    Raises:
        KISError: A size for which there is no shape, or no model among those that runs go on from; a budget of less
            than a step; two sizes with one shape.
    """
    starts = starts_of(sorted({cell.size for cell in cells}), training)
    runs = []
    for cell in cells:
        shape, model = starts[cell.size]
        steps = round(training.budget(shape.params) / (training.batch * training.sequence_length))
        if steps < training.saves:
            found = f"{short(training.budget(shape.params))} tokens for N={short(shape.params)}, {steps} steps"
            raise KISError(Problem("--tokens or --tokens-per-param", found, f"at least {training.saves} steps"))
        recipe = Recipe(
            steps=steps,
            batch=training.batch,
            sequence_length=training.sequence_length,
            learning_rate=training.rate / shape.width,
            least_rate=0.1,
            warmup=0.05,
            weight_decay=0.1,
            clip=1.0,
            precision=training.precision,
            compile=training.compile,
            saves=training.saves,
            keep_model=training.keep_models,
            seed=cell.seed,
        )
        run = SweepRun(sweep, "", training.framework, cell.frequency, shape, recipe, model)
        runs.append(replace(run, name=run.planned_name))
    return runs


def tokens_of_an_exposure(base: Base, tokenizer: TextTokenizer, rows: int, sequence_length: int) -> float:
    """Return the tokens that one exposure of every fact takes, meaned over their wordings.

    Args:
        base: The configuration.
        tokenizer: The sweep's.
        rows: Of a run; it must have room for one exposure.
        sequence_length: Tokens of a row.

    Raises:
        KISError: Whatever would end a run before its first step.
    """

    def tokens(frequency: int) -> tuple[int, float]:
        config = _at(base, frequency, base.config.seed)
        plan = plan_infusion(load_inputs(config, tokenizer, sequence_length), rows)
        return plan.texts.templates, plan.infused_tokens / frequency

    wordings, one = tokens(1)
    try:
        return tokens(wordings)[1]
    except KISError:  # no room for one of each wording: then the first will do
        return one


def too_much(runs: Sequence[SweepRun], exposure: float) -> list[SweepRun]:
    """Return the runs whose share would be above what the predictor uses: hardly any general text would be left.

    Args:
        runs: All of them.
        exposure: Tokens of one exposure of every fact.
    """
    return [run for run in runs if run.frequency * exposure / run.recipe.tokens > MOST_SHARE]


def unfit(runs: Sequence[SweepRun], base: Base, tokenizer: TextTokenizer) -> Iterator[tuple[SweepRun, KISError]]:
    """Yield the runs whose facts need more rows than there are, the greatest amount of a budget first, with what fits.

    Each is planned as its run will; below the first that fits, all do.
    """
    fits = set[int]()
    for run in sorted(runs, key=lambda run: -run.frequency):
        if not run.frequency or run.recipe.steps in fits:
            continue
        try:
            rows = run.recipe.steps * run.recipe.batch
            config = _at(base, run.frequency, run.recipe.seed)
            plan_infusion(load_inputs(config, tokenizer, run.recipe.sequence_length), rows)
        except KISError as error:
            yield run, error
        else:
            fits.add(run.recipe.steps)


def _at(base: Base, frequency: float, seed: int) -> Config:
    """Return the shared configuration at an amount and a seed."""
    infusion = replace(base.config.infusion, frequency=float(frequency), share=None, tokens=None)
    return replace(base.config, infusion=infusion, seed=seed)


def write_run(run: SweepRun, base: Base, place: Path) -> None:
    """Write the two files of a run; it is one of the sweep's when the second is there.

    Args:
        run: The run; its ``sweep`` is where the files are written.
        base: The configuration it shares.
        place: The folder of the sweep as it will be called.
    """
    run.config.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(run.config, base.text(run, place / "configs" / run.name))
    write_atomically(run.settings, sweep_run_text(run))
