"""Creates the folder of a sweep, completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from kis_plugin.amounts import short
from kis_plugin.counting.texts import text_files
from kis_plugin.errors import KISError, Problem
from kis_plugin.registry import find
from kis_plugin.storage.atomic_write import write_atomically
from kis_plugin.storage.new_folder import new_folder
from kis_plugin.tokenized.document_start import start_token
from kis_plugin.tokenized.load_tokenizer import load_tokenizer
from kis_plugin.tokenized.tokenizer import TextTokenizer
from kis_sweep.base_data import Watch, encode_text, held_out_of, train_tokenizer
from kis_sweep.grid import Cell
from kis_sweep.plan import Base, above_max_share, runs_for, tokens_per_exposure, unfit, write_run
from kis_sweep.run_spec import SweepRun
from kis_sweep.settings import Settings, write_settings
from kis_sweep.training import Training, trained_shapes

__all__ = ["Planned", "plan_sweep"]

_HELD_OUT = 0.01
_LEAST_HELD_OUT = 64  # number of rows


@dataclass(frozen=True)
class Planned:
    """A planned sweep: its first runs, the runs of the full grid, and the runs left out."""

    settings: Settings
    runs: tuple[SweepRun, ...]
    grid: tuple[SweepRun, ...]
    left_out: tuple[SweepRun, ...]
    """Requested runs whose share exceeds the maximum that the predictor uses."""


def plan_sweep(
    output: Path,
    config: Path | Mapping[str, Any],
    texts: Sequence[Path],
    held_out: Sequence[Path],
    tokenizer: str | None,
    cells: Sequence[Cell],
    first: Callable[[Cell], bool],
    training: Training,
    timed: bool,
    watch: Watch,
) -> Planned:
    """Plan a sweep and write it to a new folder.

    Args:
        output: Folder of the sweep, new or empty.
        config: Shared ``kis.yaml``, or its values.
        texts: Files and folders of base text.
        held_out: Files and folders of held-out text; if empty, the last 1 % of the base text is held out.
        tokenizer: Folder or name; if None, a tokenizer is trained on the text.
        cells: The full grid.
        first: Returns whether a cell is among the first runs.
        training: Training settings that all runs share; the vocabulary applies to a trained tokenizer.
        timed: Whether to time a few steps of each size.
        watch: Called with progress.

    Raises:
        KISError: An option is invalid; then no files are left behind.
    """
    output = output.resolve()
    if not output.parent.is_dir():
        raise KISError(Problem(f"--output {output}", f"no folder {output.parent}", "a path in an existing folder"))
    framework = find("frameworks", training.framework, "--framework")
    text_files([*texts, *held_out])
    with new_folder(output, "--output", "kis sweep next adds runs to a sweep.") as draft:
        base = _base(config, draft, output)
        trained = trained_shapes(training)
        training = _tokenizer(draft, tokenizer, texts, training, watch)
        encoder = load_tokenizer(str(draft / "data" / "tokenizer"))
        for shape, model in trained.values():
            if shape.vocabulary < training.vocabulary:
                found = f"{training.vocabulary:,} tokens, but {model} has {shape.vocabulary:,}"
                raise KISError(Problem("--tokenizer", found, "the tokenizer of the models"))
        tokens, held_out_tokens = _write_tokens(
            draft / "data", texts, held_out, encoder, training.sequence_length, watch, start_token(base.config, encoder)
        )
        runs = runs_for(draft, cells, training)
        largest = max(runs, key=lambda run: run.recipe.tokens)
        exposure = tokens_per_exposure(base, encoder, largest.recipe.steps * training.batch, training.sequence_length)
        excluded = {run.name for run in above_max_share(runs, exposure)}
        cell_of = {run.name: cell for run, cell in zip(runs, cells, strict=True)}
        grid = [run for run in runs if run.name not in excluded]
        chosen = [run for run in grid if first(cell_of[run.name])]
        if not any(run.frequency for run in chosen):
            expected = "some that leave at least a tenth of the largest size's tokens for general text"
            raise KISError(
                Problem(
                    "--frequency",
                    "only frequencies above the maximum share",
                    expected,
                    "Take fewer facts or more tokens.",
                )
            )
        for _, error in unfit(grid, base, encoder):
            raise error
        seconds = _timed(framework, chosen, watch) if timed else {}
        settings = Settings(
            training, tuple(cell_of[run.name] for run in grid), exposure, tokens, held_out_tokens, seconds
        )
        for run in chosen:
            write_run(run, base, output)
        write_settings(draft, settings)
        os.sync()
    left_out = [run for run in runs if run.name in excluded]
    return Planned(settings, _moved(chosen, output), _moved(grid, output), _moved(left_out, output))


def _moved(runs: Sequence[SweepRun], sweep: Path) -> tuple[SweepRun, ...]:
    return tuple(replace(run, sweep=sweep) for run in runs)


def _base(config: Path | Mapping[str, Any], draft: Path, output: Path) -> Base:
    """Write the shared ``kis.yaml`` to the draft folder and return it parsed."""
    if isinstance(config, Path):
        base = Base.read(config)
    else:
        path = draft / "draft.yaml"
        path.write_text(yaml.safe_dump({key: str(value) for key, value in config.items()}), encoding="utf-8")
        base = Base.read(path)
        path.unlink()
    write_atomically(draft / "kis.yaml", base.shared(output))
    return base


def _tokenizer(draft: Path, name: str | None, texts: Sequence[Path], training: Training, watch: Watch) -> Training:
    """Write the tokenizer to the draft folder; return the training settings with its vocabulary."""
    folder = draft / "data" / "tokenizer"
    folder.mkdir(parents=True)
    if training.models:
        name = name or training.models[0]
        for model in training.models:
            if load_tokenizer(model).fingerprint != load_tokenizer(name).fingerprint:
                hint = "A model needs its own tokenizer, and retention is comparable only within one tokenizer."
                raise KISError(
                    Problem(f"--from {model}", f"a tokenizer other than {name}'s", "the same tokenizer", hint)
                )
    if name is None:
        train_tokenizer(texts, training.vocabulary, folder, watch)
        return training
    load_tokenizer(name)  # raises a KISError that names the problem
    tokenizers: Any = import_module("transformers").AutoTokenizer
    tokenizer = tokenizers.from_pretrained(name)
    tokenizer.save_pretrained(str(folder))
    return replace(training, vocabulary=len(tokenizer))


def _write_tokens(
    data: Path,
    texts: Sequence[Path],
    held_out: Sequence[Path],
    tokenizer: TextTokenizer,
    sequence_length: int,
    watch: Watch,
    begin: int | None,
) -> tuple[int, int]:
    """Write base text and held-out text as tokens; return the number of tokens of each."""
    base, general = data / "text.npy", data / "held_out.npy"
    tokens = encode_text(texts, tokenizer, base, watch, begin)
    if held_out:
        held_out_tokens = encode_text(held_out, tokenizer, general, watch, begin)
    else:
        tokens, held_out_tokens = held_out_of(base, general, _HELD_OUT, _LEAST_HELD_OUT * sequence_length)
    for option, paths, count in (("--text", texts, tokens), ("--held-out-text", held_out or texts, held_out_tokens)):
        if count <= sequence_length:
            found = f"{count:,} tokens in {', '.join(map(str, paths))}"
            raise KISError(Problem(option, found, f"more than a row of {sequence_length:,}"))
    return tokens, held_out_tokens


def _timed(framework: Any, runs: Sequence[SweepRun], watch: Watch) -> dict[int, float]:
    """Return the seconds per step for each size among the runs."""
    by_size = {run.shape.params: run for run in runs}
    seconds = {}
    for done, (params, run) in enumerate(by_size.items()):
        watch(f"timing a step of N={short(params)}", done, len(by_size))
        seconds[params] = framework.seconds_per_step(run)
    watch("timing steps", len(by_size), len(by_size))
    return seconds
