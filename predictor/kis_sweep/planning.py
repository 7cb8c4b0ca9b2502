"""``kis sweep plan`` and ``next``: makes the folder of a sweep whole or not at all, and adds runs to it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar

import yaml

from kis_plugin.amounts import short
from kis_plugin.config.rules import Number, Rule, Whole
from kis_plugin.config.schema import STRICT
from kis_plugin.config.validate import validate
from kis_plugin.counting.texts import text_files
from kis_plugin.errors import KISError, Problem
from kis_plugin.registry import find
from kis_plugin.storage.atomic_write import write_atomically
from kis_plugin.tokenized.load_tokenizer import load_tokenizer
from kis_plugin.tokenized.tokenizer import TextTokenizer
from kis_sweep.base_data import Watch, encode_text, held_out_of, train_tokenizer
from kis_sweep.folder import SETTINGS, read_settings, runs_of
from kis_sweep.grid import Cell
from kis_sweep.plan import Base, runs_for, tokens_of_an_exposure, too_much, unfit, write_run
from kis_sweep.run_spec import SweepRun
from kis_sweep.training import Training, trained_shapes

__all__ = ["Added", "Planned", "Settings", "add_runs", "plan_sweep", "settings_of"]

_HELD_OUT = 0.01
_LEAST_HELD_OUT = 64  # rows


class Cells(Rule):
    """The grid: a list of size, frequency and seed."""

    expected = "a list of cells [size, frequency, seed]"

    def _core(self, schema: Any) -> Any:
        size, seed = schema.int_schema(strict=True, ge=1), schema.int_schema(strict=True, ge=0)
        frequency = schema.float_schema(strict=True, ge=0, allow_inf_nan=False)
        return schema.list_schema(schema.tuple_schema([size, frequency, seed]))

    def read(self, value: Any) -> tuple[Cell, ...]:
        """Return the cells."""
        return tuple(Cell(*cell) for cell in value)


class Seconds(Rule):
    """Seconds of a step, by size."""

    expected = "the seconds of a step by size"

    def _core(self, schema: Any) -> Any:
        seconds = schema.float_schema(strict=True, ge=0, allow_inf_nan=False)
        return schema.dict_schema(schema.int_schema(ge=1), seconds)


@dataclass(frozen=True)
class Settings:
    """What a sweep was planned with; kept in ``sweep.yaml``.

    Attributes:
        training: What all runs have in common.
        grid: All cells of the full grid that leave room for general text, as size, frequency and seed.
        exposure: Tokens of one exposure of every fact.
        text_tokens: Tokens of the base text; a run that takes more reads it again.
        held_out_tokens: Tokens of general text that no run trains on.
        seconds: Of a step on the machine that planned, by size; empty where none was timed.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    training: Training
    grid: Annotated[tuple[Cell, ...], Cells()]
    exposure: Annotated[float, Number()]
    text_tokens: Annotated[int, Whole(1)]
    held_out_tokens: Annotated[int, Whole(1)]
    seconds: Annotated[Mapping[int, float], Seconds()]


@dataclass(frozen=True)
class Planned:
    """What was planned: the runs to start with, the full grid's, and what was left out."""

    settings: Settings
    runs: tuple[SweepRun, ...]
    grid: tuple[SweepRun, ...]
    left_out: tuple[SweepRun, ...]
    """Of the grid as it was asked for: their share is above what the predictor uses."""


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
    """Plan a sweep into a folder that is not there yet.

    Args:
        output: The folder.
        config: The ``kis.yaml`` that all runs share, or its values.
        texts: Base text, files and folders.
        held_out: General text that is not trained on; else the last hundredth of the base text is kept for it.
        tokenizer: A folder or a name; else one is trained on the text.
        cells: The full grid.
        first: Whether a cell is among the runs to begin with.
        training: What all runs have in common; its vocabulary counts where a tokenizer is trained.
        timed: Whether a few steps of each size are timed.
        watch: Told of progress.

    Raises:
        KISError: Anything wrong with the options; then nothing is left behind.
    """
    output = output.resolve()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        hint = "kis sweep next adds runs to a sweep."
        raise KISError(Problem(f"--output {output}", "something there already", "a folder that is new or empty", hint))
    if not output.parent.is_dir():
        raise KISError(Problem(f"--output {output}", f"no folder {output.parent}", "a folder that is there"))
    framework = find("frameworks", training.framework, "--framework")
    text_files([*texts, *held_out])
    part = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
    try:
        part.chmod(0o755)
        base = _base(config, part, output)
        trained = trained_shapes(training)
        training = _tokenizer(part, tokenizer, texts, training, watch)
        encoder = load_tokenizer(str(part / "data" / "tokenizer"))
        for shape, model in trained.values():
            if shape.vocabulary < training.vocabulary:
                found = f"{training.vocabulary:,} tokens, and {model} with {shape.vocabulary:,}"
                raise KISError(Problem("--tokenizer", found, "the tokenizer of the models"))
        tokens, others = _encoded(part / "data", texts, held_out, encoder, training.sequence_length, watch)
        runs = runs_for(part, cells, training)
        largest = max(runs, key=lambda run: run.recipe.tokens)
        exposure = tokens_of_an_exposure(base, encoder, largest.recipe.steps * training.batch, training.sequence_length)
        out = {run.name for run in too_much(runs, exposure)}
        of = {run.name: cell for run, cell in zip(runs, cells, strict=True)}
        grid = [run for run in runs if run.name not in out]
        chosen = [run for run in grid if first(of[run.name])]
        if not any(run.frequency for run in chosen):
            expected = "frequencies that leave a tenth for general text, in the largest size at least"
            raise KISError(Problem("--frequency", "none that does", expected, "Take fewer facts or more tokens."))
        for _, error in unfit(grid, base, encoder):
            raise error
        seconds = _timed(framework, chosen, watch) if timed else {}
        settings = Settings(training, tuple(of[run.name] for run in grid), exposure, tokens, others, seconds)
        for run in chosen:
            write_run(run, base, output)
        _write_settings(part, settings)
        os.sync()
        if output.exists():
            output.rmdir()
        part.rename(output)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    left_out = [run for run in runs if run.name in out]
    return Planned(settings, _moved(chosen, output), _moved(grid, output), _moved(left_out, output))


def _moved(runs: Sequence[SweepRun], sweep: Path) -> tuple[SweepRun, ...]:
    return tuple(replace(run, sweep=sweep) for run in runs)


def settings_of(sweep: Path) -> Settings:
    """Return what a sweep was planned with.

    Raises:
        KISError: No sweep, or settings that were changed to what is none.
    """
    read = validate(Settings, read_settings(sweep), SETTINGS)
    if read.value is None:
        raise KISError(read.problems)
    return read.value


@dataclass(frozen=True)
class Added:
    """What became of runs that were wanted.

    Attributes:
        runs: Those that the sweep did not have.
        left_out: Those that leave less than a tenth to general text.
        unfit: Names of those whose rows do not fit, with what does.
    """

    runs: tuple[SweepRun, ...]
    left_out: tuple[SweepRun, ...]
    unfit: Mapping[str, str]


def add_runs(sweep: Path, cells: Sequence[Cell], dry_run: bool, refuse: bool) -> Added:
    """Add runs to a sweep that does not have them.

    Args:
        sweep: The folder.
        cells: What they are.
        dry_run: Only return them.
        refuse: An amount that does not fit, rather than leaving it out.

    Raises:
        KISError: Anything wrong with the sweep, or an amount that is refused.
    """
    settings, base = settings_of(sweep), Base.read(sweep / "kis.yaml")
    have = {run.name for run in runs_of(sweep)}
    runs = runs_for(sweep, cells, settings.training)
    out = {run.name: run for run in too_much(runs, settings.exposure)}
    new = tuple({run.name: run for run in runs if run.name not in have | out.keys()}.values())
    without = dict[str, str]()
    for run, error in unfit(new, base, load_tokenizer(str(sweep / "data" / "tokenizer"))) if new else ():
        if refuse:
            raise error
        without[run.name] = str(error)
    new = tuple(run for run in new if run.name not in without)
    for run in () if dry_run else new:
        write_run(run, base, sweep)
    return Added(new, tuple(out.values()), without)


def _base(config: Path | Mapping[str, Any], part: Path, output: Path) -> Base:
    """Write the shared ``kis.yaml`` into the folder and read it."""
    if isinstance(config, Path):
        base = Base.read(config)
    else:
        draft = part / "draft.yaml"
        draft.write_text(yaml.safe_dump({key: str(value) for key, value in config.items()}), encoding="utf-8")
        base = Base.read(draft)
        draft.unlink()
    write_atomically(part / "kis.yaml", base.shared(output))
    return base


def _tokenizer(part: Path, name: str | None, texts: Sequence[Path], training: Training, watch: Watch) -> Training:
    """Put the tokenizer into the folder; return the training with its vocabulary."""
    folder = part / "data" / "tokenizer"
    folder.mkdir(parents=True)
    if training.models:
        name = name or training.models[0]
        for model in training.models:
            if load_tokenizer(model).fingerprint != load_tokenizer(name).fingerprint:
                hint = "A model reads the ids of its own tokenizer, and only one sweep's retention compares."
                raise KISError(Problem(f"--from {model}", f"another tokenizer than {name}'s", "the same one", hint))
    if name is None:
        train_tokenizer(texts, training.vocabulary, folder, watch)
        return training
    load_tokenizer(name)  # says what is wrong with it
    tokenizers: Any = import_module("transformers").AutoTokenizer
    tokenizer = tokenizers.from_pretrained(name)
    tokenizer.save_pretrained(str(folder))
    return replace(training, vocabulary=len(tokenizer))


def _encoded(
    data: Path,
    texts: Sequence[Path],
    held_out: Sequence[Path],
    tokenizer: TextTokenizer,
    sequence_length: int,
    watch: Watch,
) -> tuple[int, int]:
    """Write base text and held-out text as tokens; return how many each has."""
    rows, general = data / "text.npy", data / "held_out.npy"
    tokens = encode_text(texts, tokenizer, rows, watch)
    if held_out:
        others = encode_text(held_out, tokenizer, general, watch)
    else:
        tokens, others = held_out_of(rows, general, _HELD_OUT, _LEAST_HELD_OUT * sequence_length)
    for option, places, count in (("--text", texts, tokens), ("--held-out-text", held_out or texts, others)):
        if count <= sequence_length:
            found = f"{count:,} tokens in {', '.join(map(str, places))}"
            raise KISError(Problem(option, found, f"more than a row of {sequence_length:,}"))
    return tokens, others


def _timed(framework: Any, runs: Sequence[SweepRun], watch: Watch) -> dict[int, float]:
    """Return the seconds of a step for each size among the runs."""
    by_size = {run.shape.params: run for run in runs}
    seconds = {}
    for done, (params, run) in enumerate(by_size.items()):
        watch(f"timing a step of N={short(params)}", done, len(by_size))
        seconds[params] = framework.seconds_per_step(run)
    watch("timing steps", len(by_size), len(by_size))
    return seconds


def _write_settings(sweep: Path, settings: Settings) -> None:
    values = {
        "training": asdict(settings.training),
        "exposure": settings.exposure,
        "text_tokens": settings.text_tokens,
        "held_out_tokens": settings.held_out_tokens,
        "seconds": dict(settings.seconds),
        "grid": [[cell.size, cell.frequency, cell.seed] for cell in settings.grid],
    }
    write_atomically(sweep / SETTINGS, yaml.safe_dump(values, sort_keys=False, default_flow_style=None))
