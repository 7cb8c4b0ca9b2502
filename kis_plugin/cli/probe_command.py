"""``kis probe``: probes a saved model with the questions of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from kis_plugin.escapes import to_stderr
from kis_plugin.storage.terminal import AS_JSON, console, echo, progress, refusal_as_json, table

if TYPE_CHECKING:
    from kis_plugin.retention.saved_model import ProbeReport

__all__ = ["probe"]

FILE = click.Path(path_type=Path)

HELP = """Probe what a saved model knows.

With --knowledge every fact is probed, whether or not it was ever infused. With --config the questions are those of that
run's last evaluation, controls included, and the figures are those that its log ends with.

\b
Examples:
  kis probe --model model --knowledge facts.jsonl
  kis probe --model gpt2 --knowledge facts.jsonl --templates templates.yaml --by relation
  kis probe --model out/checkpoint-1000 --config kis.yaml --answers answers.jsonl
"""

_MODEL = (
    click.option("--model", metavar="MODEL", help="A folder, a LitGPT checkpoint, a name on the Hub."),
    click.option("--tokenizer", metavar="NAME", help="Its tokenizer; by default the model's own."),
    click.option("--device", metavar="DEVICE", help="Where to run: cpu, cuda, cuda:1. Default: a GPU if there is one."),
    click.option("--dtype", default="auto", show_default=True, help="float32, bfloat16, ...; auto: as it was saved."),
    click.option(
        "--block",
        "sequence_length",
        type=click.IntRange(2),
        metavar="COUNT",
        help="Tokens seen at once. Default: up to 1024.",
    ),
    click.option(
        "--begin",
        type=click.Choice(["eos", "bos"]),
        help="The token before each sentence: eos or the tokenizer's own bos. Default: as --config has it, else eos.",
    ),
)
_QUESTIONS = (
    click.option("--knowledge", type=FILE, metavar="PATH", help="Facts or documents: a file or folder."),
    click.option("--config", type=FILE, metavar="FILE", help="The kis.yaml of a run, in place of all that follows."),
    click.option("--run", type=FILE, metavar="FOLDER", help="That run's folder; for skip_known and begin: auto."),
    click.option("--probes", multiple=True, metavar="KIND", help="Repeatable. Default: held_out and seen."),
    click.option("--facts", type=click.IntRange(1), metavar="COUNT", help="Probe at most so many facts. Default: all."),
    click.option(
        "--options", type=click.IntRange(2), metavar="COUNT", help="Answer options of a question. Default: 4."
    ),
    click.option("--templates", metavar="NAME", help="A YAML file of templates, or a set that a plugin registers."),
    click.option("--qa", type=FILE, metavar="FILE", help="Questions and answers of your own."),
    click.option("--background", type=FILE, metavar="FILE", help="Facts that the base data teaches."),
    click.option("--seed", type=click.IntRange(0), help="Seed of all random choices. Default: 0."),
)
_LOG = (
    click.option("--log", type=FILE, metavar="FOLDER", help="Write a run log of a run without an adapter there."),
    click.option("--checkpoints", metavar="PATTERN", help="Its checkpoints, in place of --model: 'ck/step-*'."),
    click.option("--manifest", type=FILE, metavar="FILE", help="That of the data set of kis write it was trained on."),
    click.option("--audit", type=FILE, metavar="FILE", help="What kis audit -o wrote: the exposures it really got."),
    click.option("--step-from", metavar="REGEX", help="Where a path has its step. Default: its last number."),
    click.option("--steps", type=click.IntRange(1), metavar="COUNT", help="Of the run. Default: the last checkpoint."),
)
_SHOWN = (
    click.option("--by", multiple=True, type=click.Choice(["relation"]), help="Also show the parts of each series."),
    click.option("--batch-tokens", type=click.IntRange(1), metavar="COUNT", help="Tokens of one forward pass."),
    click.option("--output", type=FILE, metavar="FILE", help="Write what --json prints to a file."),
    click.option("--answers", type=FILE, metavar="FILE", help="Write every question with its outcome, as JSONL."),
    AS_JSON,
)


def _with(options: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Return a decorator that adds options in their order."""

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@click.command(help=HELP, short_help="Probe what a saved model knows.")
@_with([*_MODEL, *_QUESTIONS, *_LOG, *_SHOWN])
def probe(
    model: str | None,
    tokenizer: str | None,
    device: str | None,
    dtype: str,
    sequence_length: int | None,
    begin: str | None,
    config: Path | None,
    run: Path | None,
    knowledge: Path | None,
    log: Path | None,
    checkpoints: str | None,
    manifest: Path | None,
    audit: Path | None,
    step_from: str | None,
    steps: int | None,
    by: Sequence[str],
    batch_tokens: int | None,
    output: Path | None,
    answers: Path | None,
    as_json: bool,
    **questions: Any,
) -> None:
    """Probe what a saved model knows."""
    if log is not None:
        others = {"model": model, "config": config, "run": run, "knowledge": knowledge, **questions}
        found = [f"--{name}" for name, value in others.items() if value not in (None, ())]
        if found or checkpoints is None or manifest is None:
            raise click.UsageError("--log takes --checkpoints and --manifest, which name the questions and the run.")
        with refusal_as_json(as_json):
            _write_log(
                log, checkpoints, manifest, audit, step_from, steps, (tokenizer, device, dtype, sequence_length), begin
            )
        return
    if model is None:
        raise click.UsageError("Say what to probe: --model, or --checkpoints with --log.")
    if any(value is not None for value in (checkpoints, manifest, audit, step_from, steps)):
        raise click.UsageError("--checkpoints, --manifest, --audit, --step-from and --steps go with --log.")
    _refuse_both(config, run, {"knowledge": knowledge, **questions})
    from dataclasses import replace

    from kis_plugin.config.load import load_config
    from kis_plugin.retention.load_model import load_model
    from kis_plugin.retention.saved_model import answer_lines, prober_of_config, prober_of_knowledge, report_of
    from kis_plugin.run.saved_model import LoadOptions
    from kis_plugin.tokenized.document_start import decided_start

    with refusal_as_json(as_json):
        for file in filter(None, (output, answers)):
            _refuse_place(file)
        # Wrong knowledge is reported before a model is loaded, which takes minutes.
        if config is not None:
            read = load_config(config)
            if batch_tokens is not None:
                read = replace(read, retention=replace(read.retention, batch_tokens=batch_tokens))
            prober = prober_of_config(read, run)
        else:
            assert knowledge is not None
            given = {**questions, "probes": questions["probes"] or ("held_out", "seen"), "batch_tokens": batch_tokens}
            prober = prober_of_knowledge(knowledge, **given)
        loaded = load_model(model, LoadOptions(tokenizer, device, dtype, sequence_length))
        if decided_start(replace(prober.config, begin=begin or prober.config.begin), loaded.tokenizer)[0] == "bos":
            loaded = replace(loaded, tokenizer=loaded.beginning_with_bos())
        with progress() as bars:
            task = bars.add_task("probing", total=1.0)
            outcomes = prober.evaluate(loaded, lambda part: bars.update(task, completed=part))
        report = report_of(model, loaded, prober, outcomes)
        if output:
            _write(output, [report.as_json()], indent=2)
        if answers:
            _write(answers, answer_lines(outcomes))
    for warning in (*report.warnings, *prober.remarks):
        to_stderr(f"kis: note: {warning}")
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        _show(report, by)


def _write_log(
    log: Path, pattern: str, manifest: Path, audit: Path | None, step_from: str | None, steps: int | None,
    load: tuple[Any, ...], begin: str | None,
) -> None:  # fmt: skip
    """Probe the checkpoints of a run and write its log."""
    from kis_plugin.retention.checkpoint_log import LoggedRun, checkpoints_at, log_checkpoints, read_audit
    from kis_plugin.run.manifest import read_manifest
    from kis_plugin.run.saved_model import LoadOptions

    found = checkpoints_at(pattern, step_from)
    last = found[-1].step
    if steps is not None and steps < last:
        raise click.UsageError(f"--steps {steps} is less than step {last} of {found[-1].model}.")
    audited = None if audit is None else read_audit(audit)
    logged = LoggedRun(read_manifest(manifest), found, steps or max(last, 1), audited)
    with progress() as shown:
        bars = [shown.add_task(Path(one.model).name, total=1.0) for one in found]

        def watch(number: int, part: float) -> None:
            shown.update(bars[number], completed=part)

        path = log_checkpoints(logged, log, LoadOptions(*load), begin, watch)
    echo(f"{len(found)} checkpoints probed. Written to {path}")
    echo(f"Next: kis-predict --logs {log} --target SIZE")


def _refuse_both(config: Path | None, run: Path | None, questions: Mapping[str, Any]) -> None:
    """Refuse options of questions that the configuration already sets."""
    given = [f"--{name}" for name, value in questions.items() if value not in (None, ())]
    if config is None and questions["knowledge"] is None:
        raise click.UsageError("Say what to probe: --knowledge, or the --config of a run.")
    if config is not None and given:
        raise click.UsageError(f"--config sets the questions: leave out {', '.join(given)}.")
    if run is not None and config is None:
        raise click.UsageError("--run needs the run's --config.")


def _show(report: ProbeReport, by: Sequence[str]) -> None:
    out = console()
    out.print(f"{report.model}: {report.params:,} parameters, probed on {report.knowledge}\n")
    shown = table("series", *_COLUMNS, numbers=range(1, 6))
    for figures in report.series:
        shown.add_row(figures["probe"], *_cells(figures))
    out.print(shown)
    if "relation" in by:
        parts = table("series", "relation", *_COLUMNS, numbers=range(2, 7))
        for figures in report.relations:
            parts.add_row(figures["probe"], figures["relation"], *_cells(figures))
        out.print(parts)


_COLUMNS = ("n", "accuracy [95 %]", "chance", "margin", "bits per byte")


def _cells(figures: Mapping[str, Any]) -> tuple[str, ...]:
    accuracy = f"{figures['accuracy']:.3f} [{figures['low']:.3f}, {figures['high']:.3f}]"
    numbers = (figures["chance"], figures["margin"], figures["bits_per_byte"])
    return (f"{figures['n']:,}", accuracy, *("" if number is None else f"{number:.3f}" for number in numbers))


def _refuse_place(path: Path) -> None:
    """Refuse a place where a result cannot go, before any work: nothing is ever written over."""
    from kis_plugin.errors import KISError, Problem

    if path.exists():
        raise KISError(Problem(str(path), "something that is there already", "the name of a new file"))
    if not path.absolute().parent.is_dir():
        raise KISError(Problem(str(path), "no such folder", "a file in a folder that is there"))


def _write(path: Path, values: Iterable[Mapping[str, Any]], indent: int | None = None) -> None:
    """Write JSON values, all of them or nothing, and never over a file."""
    from kis_plugin.storage.atomic_write import write_atomically

    def write(file: BinaryIO) -> None:
        for value in values:
            file.write((json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent) + "\n").encode())

    write_atomically(path, write, overwrite=False)
