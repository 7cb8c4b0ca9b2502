"""The ``kis-predict`` command. Everything heavy is imported when it is needed: ``--help`` answers at once."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from kis_plugin.errors import KISError, Problem
from kis_plugin.escapes import to_stderr
from kis_plugin.storage.terminal import echo, escape_message, safe_console
from kis_predict.options import Amount, Open, input_problems, output_problems
from kis_predict.watch import Watch, unwatched

if TYPE_CHECKING:
    from rich.console import Console

    from kis_predict.prediction import Prediction

__all__ = ["main", "subcommand"]

_NARROWEST, _UNBROKEN = 80, 100_000
"""Columns of the report at least; and in a pipe or a file, where lines are not broken unless COLUMNS says so."""
_HELP = """Predict how much domain knowledge a large model takes before its memory collapses.

\b
Examples:
  kis-predict --logs runs/ --target 7B
  kis-predict --logs runs/ --target 7B --tokens 140B --facts 2M --tokens-per-fact 24
  kis-predict --logs runs/ --target 7B --report report.html --write-config kis.yaml
  kis-predict --logs wandb.csv --logs s3://bucket/sweep --target 13B --map params=config.n_params

Reads a sweep of small runs, finds for each model size the infusion frequency beyond which held-out retention
collapses, fits a law across sizes and recommends an amount for the target. Logs may be run logs (kis.jsonl), CSV
tables, trainer_state.json of Hugging Face, metrics.csv of LitGPT and TensorBoard event files, mixed as they come.
kis-predict efficiency compares how efficiently models learn facts instead; it has a --help of its own.

Exits with 0 and a recommendation, with 1 if the evidence is too weak for one (it then says which runs to add), with 2
on wrong usage or bad input.
"""


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from kis_predict.report.versions import version

        echo(f"kis-predict {version()}")
        ctx.exit()


def _show_schema(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from kis_predict.report.json_schema import json_schema

        click.echo(json.dumps(json_schema(), indent=2))
        ctx.exit()


_PATH = click.Path(path_type=Path)


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--logs", multiple=True, metavar="PLACE", shell_complete=_PATH.shell_complete,
    help="Folder of runs, searched to the bottom, a log file, or a URL of either. May be repeated.",
)  # fmt: skip
@click.option(
    "--points", type=_PATH, metavar="FILE",
    help="Instead of logs: a CSV table of critical points, N, F_c and, if known, D and sd (relative error).",
)  # fmt: skip
@click.option(
    "--target", required=True, type=Amount(), help="Size of the large model, all parameters: 7B, 350M, 1.2e9."
)
@click.option("--tokens", type=Amount(), help="Its token budget: 140B.  [default: the sweep's own rule for D]")
@click.option("--facts", type=Amount(), help="Facts to infuse there.  [default: as many as in the sweep]")
@click.option(
    "--tokens-per-fact", type=Open(0, 1e9), help="Tokens of one exposure of a fact.  [default: as in the sweep]"
)
@click.option("--risk", type=Open(0, 1), default=0.05, show_default=True, help="Greatest risk of collapse to accept.")
@click.option(
    "--max-loss-rise", type=Open(0, 100), default=0.05, show_default=True,
    help="Greatest rise of general loss over the uninfused run to accept, in nats.",
)  # fmt: skip
@click.option(
    "--axis", type=click.Choice(["auto", "frequency", "share"]), default="auto", show_default=True,
    help="In what the law is fitted; auto takes what predicts left-out sizes better.",
)  # fmt: skip
@click.option(
    "--next", "next_runs", type=click.IntRange(0, 100), default=0, metavar="K",
    help="Name the K runs that would narrow the prediction most.",
)  # fmt: skip
@click.option(
    "--map", "mapped", multiple=True, metavar="FIELD=PATH",
    help="Where foreign logs, or JSON and YAML files next to them, have the values of a run: params=config.n_params. "
    "May be repeated.",
)  # fmt: skip
@click.option(
    "--general-split", metavar="NAME",
    help="The evaluation set whose loss is general loss, where logs have several and do not say which.",
)  # fmt: skip
@click.option("--follow-links", is_flag=True, help="Follow links that lead out of the folders searched.")
@click.option("--far", is_flag=True, help="Answer for a target farther away than the evidence supports.")
@click.option("--sensitivity", is_flag=True, help="Say how the answer moves with each constant of the method.")
@click.option("--confidence", type=Open(0, 1), default=0.9, show_default=True, help="Of the central intervals shown.")
@click.option(
    "--bootstraps", type=click.IntRange(50, 10_000), default=1000, show_default=True, help="Resampled sweeps per size."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of every random choice.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the report.")
@click.option(
    "--chart/--no-chart", default=None, help="Draw charts in the report.  [default: in a terminal, not into a pipe]"
)
@click.option("--plot", type=_PATH, metavar="FILE", help="Draw the sweep and the law: .png, .svg or .pdf.")
@click.option("--report", type=_PATH, metavar="FILE", help="Write the whole answer as one HTML page.")
@click.option(
    "--write-config", type=_PATH, metavar="FILE", help="Write the plugin's configuration for the large run: kis.yaml."
)
@click.option(
    "--knowledge", default="facts.jsonl", show_default=True, metavar="FILE", shell_complete=_PATH.shell_complete,
    help="The facts that this configuration names.",
)  # fmt: skip
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
@click.option(
    "--json-schema", is_flag=True, is_eager=True, expose_value=False, callback=_show_schema,
    help="Print the JSON schema of what --json prints.",
)  # fmt: skip
def command(
    logs: tuple[str, ...], points: Path | None, target: int, mapped: tuple[str, ...], as_json: bool, chart: bool | None,
    plot: Path | None,
    report: Path | None, write_config: Path | None, knowledge: str, follow_links: bool,
    general_split: str | None, **options: Any,
) -> int:  # fmt: skip
    """Answer and return the exit code."""
    problems = [*input_problems(logs, points, plot, write_config), *output_problems(plot, report, write_config)]
    if problems:
        raise KISError(problems)
    # The bar comes before the imports of numpy and scipy, which take a second.
    with _watched() as watch:
        from kis_plugin.registry import registered
        from kis_predict.pipeline import PredictionRequest, predict
        from kis_predict.readers.column_mapping import parse_map
        from kis_predict.readers.gather import gather

        request = PredictionRequest(params=target, **options)
        if points:
            from kis_predict.from_points import predict_from_points, read_points

            answer = predict_from_points(read_points(points), request, registered("laws"))
        else:
            found = gather(logs, registered("log_readers"), parse_map(mapped), _notify, follow_links, general_split)
            _notify(f"Read {len(found.runs):,} run{'s' if len(found.runs) != 1 else ''}.")
            answer = predict(found.runs, request, registered("laws"), watch)
            answer = replace(answer, warnings=(*found.notes, *answer.warnings), request=request)
    return _finish(answer, as_json, chart, plot, report, write_config, knowledge)


@contextmanager
def _watched() -> Iterator[Watch]:
    """Show on stderr, if that is a terminal, what is being done; nothing of it stays."""
    if not sys.stderr.isatty():
        yield unwatched
        return
    from kis_plugin.storage.terminal import progress

    with progress(transient=True) as bars:
        task = bars.add_task("Reading logs", total=None)

        def watch(what: str, done: int, of: int) -> None:
            bars.update(task, description=what, completed=done, total=of)

        yield watch


def _finish(
    answer: Prediction, as_json: bool, chart: bool | None, plot: Path | None, report: Path | None,
    write_config: Path | None, knowledge: str,
) -> int:  # fmt: skip
    """Write the files and the report, and return the exit code."""
    seed = answer.request.seed if answer.request else 0
    _write_files(answer, plot, report, write_config, knowledge, seed)
    try:
        if as_json:
            from kis_predict.report.as_json import as_object

            click.echo(json.dumps(as_object(answer), indent=2, allow_nan=False))
        else:
            _print_report(answer, chart)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the pipe has closed it (head, less): no error, nor at the interpreter's last flush.
        _close_stdout()
    except OSError as error:
        _close_stdout()
        raise KISError(Problem("standard output", str(error.strerror or error), "a place to write to")) from error
    return 0 if answer.status == "ok" else 1


def _close_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_report(answer: Prediction, chart: bool | None) -> None:
    from kis_predict.report import terminal_plot
    from kis_predict.report.terminal import print_report, print_warnings

    def console_of(stream: TextIO) -> Console:
        console = safe_console(highlight=False, file=stream)
        unbroken = not stream.isatty() and "COLUMNS" not in os.environ
        console.width = _UNBROKEN if unbroken else max(console.width, _NARROWEST)
        return console

    console = console_of(sys.stdout)
    charts = sys.stdout.isatty() if chart is None else chart
    if chart and not terminal_plot.can_draw(console):
        _notify("No charts: they need pip install 'kis-plugin[plot]' and an output in UTF-8.")
    # rich itself would answer a closed pipe with exit code 1, which has its own meaning here.
    with console.capture() as captured:
        print_report(answer, console, charts)
    click.echo(captured.get(), nl=False, color=True)
    print_warnings(answer, console_of(sys.stderr))


def _write_files(
    answer: Prediction, plot: Path | None, report: Path | None, write_config: Path | None, knowledge: str, seed: int
) -> None:
    """Write the requested files. Without a recommendation there is no configuration."""
    from kis_plugin.storage.atomic_write import write_atomically

    if plot:
        from kis_predict.report.plot import draw

        image = draw(answer, plot.suffix.lower().removeprefix("."))
        write_atomically(plot.resolve(), image, where=f"--plot {plot}")
        _notify(f"Wrote {plot}.")
    if report:
        from kis_predict.report.page import page

        write_atomically(report.resolve(), page(answer, _made()), where=f"--report {report}")
        _notify(f"Wrote {report}.")
    if write_config and answer.recommendation is None:
        _notify(f"Did not write {write_config}: there is no recommendation.")
    elif write_config:
        from kis_predict.report.run_config import config_text

        text = config_text(answer, knowledge, seed)
        write_atomically(write_config.resolve(), text, where=f"--write-config {write_config}")
        there = "" if (write_config.parent / knowledge).exists() else f"; {knowledge} still has to be put next to it"
        _notify(f"Wrote {write_config}{there}.")


def _made() -> str:
    """Return when, by which version and by which command the answer was computed."""
    import shlex
    from datetime import date

    from kis_predict.report.versions import version

    words = click.get_current_context().obj or sys.argv[1:]  # kis predict calls the command without main
    return f"{date.today().isoformat()}, kis-predict {version()}: kis-predict {shlex.join(words)}"


def _notify(line: str) -> None:
    to_stderr(line)


def subcommand() -> click.Command:
    """Return the command as ``kis predict``: the same options, the same exit codes."""

    def run(**options: Any) -> None:
        click.get_current_context().exit(int(command.callback(**options) or 0) if command.callback else 0)

    found = copy(command)
    found.name, found.callback = "predict", run
    return found


def _program(words: Sequence[str]) -> tuple[click.Command, str, list[str]]:
    """Return the command that the words call, its name and its own words: ``efficiency`` is one of its own."""
    if words[:1] != ["efficiency"]:
        return command, "kis-predict", [*words]
    from kis_predict.efficiency.command import efficiency

    return efficiency, "kis-predict efficiency", [*words[1:]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 or 2 (see ``--help``)."""
    if argv is None and hasattr(signal, "SIGTERM"):
        # Python would end without cleaning up: copies of logs would stay in the temporary folder.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    words = sys.argv[1:] if argv is None else list(argv)
    program, name, rest = _program(words)
    try:
        code = program.main(args=rest, prog_name=name, standalone_mode=False, obj=words)
    except click.ClickException as error:
        escape_message(error)
        error.show()
        return 2
    except KISError as error:
        to_stderr(f"kis-predict: {error}", keep="\n\t")
        return error.exit_code
    except click.Abort:
        to_stderr("kis-predict: interrupted")
        return 130
    return int(code or 0)


if __name__ == "__main__":
    sys.exit(main())
