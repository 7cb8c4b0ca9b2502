"""Turns a grid into runs: shapes, token budgets, checks that the facts fit, and one configuration per run."""

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
from kis_sweep.training import Training, initial_models

__all__ = [
    "Base", "above_max_share", "rows_per_step", "runs_for", "tokens_per_exposure", "unfit", "write_run",
]  # fmt: skip

_FEWEST_STEPS = 500
_MOST_BATCH = 1 << 19  # tokens


@dataclass(frozen=True)
class Base:
    """The configuration of KIS that all runs share, except for amount, seed and path of the log.

    Attributes:
        values: Values as written, with absolute paths.
        config: The same configuration, parsed.
    """

    values: Mapping[str, Any]
    config: Config

    @classmethod
    def read(cls, path: Path) -> Base:
        """Read ``kis.yaml``.

        Raises:
            KISError: The configuration is invalid, or its guard would change or stop runs.
        """
        path = path.resolve()
        config = load_config(path)
        action = config.retention.guard.action
        if action not in ("none", "warn"):
            expected = "warn or none: kis-predict cannot use a run whose amount is changed, or that is stopped"
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
        """Return the shared ``kis.yaml``, with paths relative to its folder ``place``."""
        return yaml.safe_dump(_relative(self.values, place), sort_keys=False, allow_unicode=True)

    def text(self, run: SweepRun, place: Path) -> str:
        """Return the ``kis.yaml`` of a run, with paths relative to its folder ``place``."""
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


def rows_per_step(least_budget: float, sequence_length: int, batch_tokens: int | None) -> int:
    """Return the rows per step: by default a power of 2 with which every model takes at least 500 steps.

    Args:
        least_budget: Smallest token budget D of the sweep.
        sequence_length: Tokens per row.
        batch_tokens: Tokens per step, if given.

    Raises:
        KISError: ``batch_tokens`` is not a whole number of rows.
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
        KISError: A size has no shape or no trained model, two sizes have the same shape, or a token budget is too small
            for the checkpoints.
    """
    initial = initial_models(sorted({cell.size for cell in cells}), training)
    runs = []
    for cell in cells:
        shape, model = initial[cell.size]
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


def tokens_per_exposure(base: Base, tokenizer: TextTokenizer, rows: int, sequence_length: int) -> float:
    """Return the tokens of one exposure of every fact, averaged over the templates.

    Args:
        base: The shared configuration.
        tokenizer: Tokenizer of the sweep.
        rows: Rows of a run, which must have room for one exposure of every fact.
        sequence_length: Tokens per row.

    Raises:
        KISError: A run would fail before its first step.
    """

    def tokens(frequency: int) -> tuple[int, float]:
        config = _with_amount(base, frequency, base.config.seed)
        plan = plan_infusion(load_inputs(config, tokenizer, sequence_length), rows)
        return plan.texts.templates, plan.infused_tokens / frequency

    templates, single = tokens(1)
    try:
        return tokens(templates)[1]
    except KISError:  # no room for every template once: take the first template alone
        return single


def above_max_share(runs: Sequence[SweepRun], exposure: float) -> list[SweepRun]:
    """Return the runs whose share exceeds the maximum that the predictor uses: they have hardly any general text.

    Args:
        runs: Runs to check.
        exposure: Tokens per exposure of every fact.
    """
    return [run for run in runs if run.frequency * exposure / run.recipe.tokens > MOST_SHARE]


def unfit(runs: Sequence[SweepRun], base: Base, tokenizer: TextTokenizer) -> Iterator[tuple[SweepRun, KISError]]:
    """Yield the runs whose facts need more rows than they have, each with an error that names the amount that fits.

    Frequencies are tried in descending order, each planned as its run will be. Once a frequency fits a budget, all
    lower ones do too and are not planned.
    """
    fits = set[int]()
    for run in sorted(runs, key=lambda run: -run.frequency):
        if not run.frequency or run.recipe.steps in fits:
            continue
        try:
            rows = run.recipe.steps * run.recipe.batch
            config = _with_amount(base, run.frequency, run.recipe.seed)
            plan_infusion(load_inputs(config, tokenizer, run.recipe.sequence_length), rows)
        except KISError as error:
            yield run, error
        else:
            fits.add(run.recipe.steps)


def _with_amount(base: Base, frequency: float, seed: int) -> Config:
    """Return the shared configuration with a run's frequency and seed."""
    infusion = replace(base.config.infusion, frequency=float(frequency), share=None, tokens=None)
    return replace(base.config, infusion=infusion, seed=seed)


def write_run(run: SweepRun, base: Base, place: Path) -> None:
    """Write the two files of a run. ``run.yaml`` is written last: it makes the run part of the sweep.

    Args:
        run: The run; its ``sweep`` is the folder to write to.
        base: The shared configuration.
        place: Final path of the sweep's folder.
    """
    run.config.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(run.config, base.text(run, place / "configs" / run.name))
    write_atomically(run.settings, sweep_run_text(run))
