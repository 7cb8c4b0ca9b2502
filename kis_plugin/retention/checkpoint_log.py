"""Makes a run log of a run without an adapter: probes its checkpoints, and takes the rest from the manifest."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any

from kis_plugin.config.load import load_config
from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.retention.general_loss import GeneralText
from kis_plugin.retention.load_model import load_model
from kis_plugin.retention.results import above_control, series_records
from kis_plugin.retention.saved_model import Prober, prober_of_config
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.identity import versions
from kis_plugin.run.log import GENERAL, LOG_NAME, End, Record, Run, RunLogWriter, TrainingRecipe
from kis_plugin.run.manifest import Manifest
from kis_plugin.run.saved_model import LoadedModel, LoadOptions
from kis_plugin.storage.json_file import read_json
from kis_plugin.tokenized.document_start import decided_start
from kis_plugin.tokenized.infusion_split import facts_hash, load_split

__all__ = ["Checkpoint", "LoggedRun", "checkpoints_at", "log_checkpoints", "read_audit"]

_LAST_NUMBER = r"(\d+)\D*$"
_MOST = 1 << 28  # bytes of an audit


@dataclass(frozen=True)
class Checkpoint:
    """A saved model of a run.

    Attributes:
        step: Optimizer steps done.
        model: As a loader takes it.
    """

    step: int
    model: str


@dataclass(frozen=True)
class LoggedRun:
    """A run whose checkpoints are probed.

    Attributes:
        manifest: Of the data set that it was trained on.
        checkpoints: In order of their steps.
        steps: Of the whole run.
        audit: What ``kis audit --json`` printed; None: the manifest's amount is taken for what the model was given.
    """

    manifest: Manifest
    checkpoints: Sequence[Checkpoint]
    steps: int
    audit: Mapping[str, Any] | None = None


def checkpoints_at(pattern: str, step_from: str | None = None) -> list[Checkpoint]:
    """Return the checkpoints that a pattern names, in order of their steps.

    Args:
        pattern: Paths, with ``*``.
        step_from: A regular expression whose first group is the step; by default the last number of the path.

    Raises:
        KISError: No path, a path without a step, or two of one step.
    """
    try:
        expression = re.compile(step_from or _LAST_NUMBER)
    except re.error as error:
        raise KISError(Problem(f"--step-from {step_from}", str(error), "a regular expression with a group")) from error
    if not expression.groups:
        raise KISError(Problem(f"--step-from {step_from}", "no group", r"one around the step, such as step-(\d+)"))
    found: dict[int, str] = {}
    for path in sorted(glob(pattern)):  # noqa: PTH207 - an absolute pattern, which Path.glob refuses
        match = expression.search(path)
        if match is None or not match[1].isdecimal():
            raise KISError(
                Problem(path, "no step in its name", "one", r"Say where it stands: --step-from 'step(\d+)'.")
            )
        step = int(match[1])
        if step in found:
            raise KISError(Problem(path, f"step {step}, as {found[step]}", "another step for each checkpoint"))
        found[step] = path
    if not found:
        raise KISError(Problem(f"--checkpoints {pattern}", "no such path", "checkpoints of the run"))
    return [Checkpoint(step, found[step]) for step in sorted(found)]


def read_audit(path: Path) -> Mapping[str, Any]:
    """Read what ``kis audit -o`` wrote.

    Raises:
        KISError: It is no such file.
    """
    values = read_json(path, "what kis audit -o wrote", f"--audit {path}", most=_MOST)
    if not isinstance(values, dict) or not {"summary", "wrong", "leaked"} <= set(values):
        raise KISError(Problem(f"--audit {path}", "no audit", "what kis audit -o wrote"))
    return values


def log_checkpoints(
    logged: LoggedRun, runs: Path, options: LoadOptions, begin: str | None, watch: Callable[[int, float], None]
) -> Path:
    """Probe each checkpoint and write the run log, all of it or nothing.

    Args:
        logged: The run.
        runs: The folder of run logs; the run gets a folder of its own.
        options: How checkpoints are loaded.
        begin: The token before each sentence, ``eos`` or ``bos``; None: as the configuration has it.
        watch: Called with the number of the checkpoint and the fraction of its work that is done.

    Returns:
        The run log.

    Raises:
        KISError: The configuration or a checkpoint cannot be used, checkpoints differ in size, or the log exists.
    """
    manifest = logged.manifest
    config = load_config(Path(manifest.config))
    prober = prober_of_config(config)
    records: list[Record] = []
    folder: Path | None = None
    run: TrainingRun | None = None
    options = replace(options, sequence_length=options.sequence_length or manifest.sequence_length)
    for number, checkpoint in enumerate(logged.checkpoints):
        model = load_model(checkpoint.model, options)
        if decided_start(replace(config, begin=begin or config.begin), model.tokenizer)[0] == "bos":
            model = replace(model, tokenizer=model.beginning_with_bos())
        if run is None:
            run = _run(logged, config, runs, model)
            folder = run.folder
            if (folder / LOG_NAME).exists():
                raise KISError(Problem(str(folder), "a run log of this run", "another --log folder"))
            records.append(_run_record(logged, config, run, prober))
        elif model.params != run.params:
            found, expected = f"{model.params:,} parameters", f"{run.params:,}, as {logged.checkpoints[0].model}"
            raise KISError(Problem(f"model {checkpoint.model}", found, expected))
        here = replace(run, model=model.view, tokenizer=model.tokenizer)
        records += _evaluated(here, prober, model, checkpoint.step, partial(watch, number))
    assert run is not None
    assert folder is not None
    records.append(_end_record(logged, run))
    writer = RunLogWriter(folder)
    for record in records:
        writer.write(record)
    writer.close()
    return writer.path


def _run(logged: LoggedRun, config: Config, runs: Path, model: LoadedModel) -> TrainingRun:
    manifest = logged.manifest
    run_id = (
        f"{manifest.format}-{model.params}-frequency{manifest.frequency:g}-seed{config.seed}-{manifest.schedule_hash}"
    )
    return TrainingRun(
        config=config,
        tokenizer=model.tokenizer,
        model=model.view,
        framework=manifest.format,
        run_id=run_id,
        folder=runs / run_id,
        params=model.params,
        params_non_embedding=model.params_non_embedding,
        rows=manifest.rows,
        sequence_length=manifest.sequence_length,
        steps=logged.steps,
        recipe=TrainingRecipe(batch_size=manifest.batch, sequence_length=manifest.sequence_length),
        versions=versions(),
    )


def _run_record(logged: LoggedRun, config: Config, run: TrainingRun, prober: Prober) -> Run:
    manifest, audit = logged.manifest, logged.audit
    wanted = config.retention
    split = wanted.general_split or (GENERAL if wanted.general_text else None)
    return Run(
        run_id=run.run_id,
        framework=run.framework,
        params=run.params,
        params_non_embedding=run.params_non_embedding,
        tokens=manifest.tokens,
        frequency=float(audit["summary"]["mean"]) if audit else manifest.frequency,
        facts=manifest.facts,
        tokens_per_fact=manifest.infused_tokens / max(manifest.frequency * manifest.facts, 1),
        infused_tokens=manifest.infused_tokens,
        share=manifest.share,
        options=max((len(question.options) for question in prober.questions), default=None),
        seed=config.seed,
        schedule_hash=manifest.schedule_hash,
        versions=run.versions,
        extra={
            **run.recipe.known(),
            "facts_hash": facts_hash(config, load_split(config)),
            "frequency_from": "audit" if audit else "manifest",
            "order": manifest.order,
            **({"general_split": split} if split else {}),
        },
    )


def _evaluated(
    run: TrainingRun, prober: Prober, model: LoadedModel, step: int, watch: Callable[[float], None]
) -> list[Record]:
    """Return the records of one checkpoint, as an evaluation during a run writes them."""
    outcomes = prober.evaluate(model, watch)
    series = series_records(step, run.tokens_at(step), outcomes, run.config.retention.by)
    difference = above_control(series)
    records: list[Record] = [*series, *([difference] if difference else [])]
    wanted = run.config.retention
    if wanted.general_text is not None:
        loss = GeneralText(wanted.general_text, run.tokenizer, run.sequence_length, wanted.batch_tokens).loss(run, step)
        records += [loss] if loss is not None else []
    return records


def _end_record(logged: LoggedRun, run: TrainingRun) -> End:
    last, audit = logged.checkpoints[-1].step, logged.audit
    summary = None if audit is None else {key: float(audit["summary"][key]) for key in ("min", "max", "mean")}
    return End(
        status="completed" if last >= run.steps else "stopped",
        step=last,
        tokens=run.tokens_at(last),
        achieved_frequency=summary,
        extra={} if audit is None else {"miscounted": audit["wrong"] + (1 if audit["leaked"] else 0)},
    )
