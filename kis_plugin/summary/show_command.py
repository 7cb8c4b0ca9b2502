"""``kis show``: what came of a run?"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kis_plugin.errors import KISError, Problem
from kis_plugin.escapes import to_stderr
from kis_plugin.storage.terminal import AS_JSON, console, refusal_as_json

if TYPE_CHECKING:
    from kis_plugin.summary.history import History

__all__ = ["show"]

_PATH = click.Path(path_type=Path)
_SIZES = 3  # model sizes from which a prediction may be tried
_PICTURES = (".svg", ".png", ".pdf")


@click.command()
@click.argument("runs", nargs=-1, required=True, type=_PATH, metavar="RUN...")
@click.option("--html", type=_PATH, metavar="FILE", help="Write a page that needs no other file.")
@click.option("--plot", type=_PATH, metavar="FILE", help="Write the curves as a picture: .svg, .png or .pdf.")
@click.option("--follow", "-f", is_flag=True, help="Show each evaluation of a run that is training, until it ends.")
@AS_JSON
def show(runs: tuple[Path, ...], html: Path | None, plot: Path | None, follow: bool, as_json: bool) -> None:
    """Show what came of a run: each evaluation, curves, exposures and a verdict.

    RUN is the folder of a run, its kis.jsonl, or a folder of many runs. Several runs are shown side by side.

    \b
    kis show runs/RUN_ID
    kis show runs/ --html runs.html
    """  # noqa: D301 (click's marker for lines that are not rewrapped)
    from kis_plugin.summary.as_json import runs_object
    from kis_plugin.summary.places import histories_at

    if follow and (html or plot or as_json):
        raise click.UsageError("--follow shows rows of text: leave out --html, --plot and --json.")
    with refusal_as_json(as_json):
        if plot is not None and plot.suffix.lower() not in _PICTURES:
            raise KISError(Problem(f"--plot {plot}", f"the ending {plot.suffix!r}", " or ".join(_PICTURES)))
        histories = histories_at(runs, _notify)
        if follow and len(histories) > 1:
            raise KISError(Problem("--follow", f"{len(histories)} runs", "one run"))
        if html is not None:
            _write_page(html, histories)
        if plot is not None:
            _write_plot(plot, histories)
    if as_json:
        click.echo(json.dumps(runs_object(histories), indent=2))
    elif follow:
        from kis_plugin.summary.follow import follow as follow_log

        out = console()
        follow_log(histories[0].log.path, out.print)
    else:
        from kis_plugin.summary.terminal import show_runs

        show_runs(histories, console(), "" if html else _next(histories, runs))


def _next(histories: Sequence[History], runs: Sequence[Path]) -> str:
    """Return the command that leads on from here."""
    places = " ".join(shlex.quote(str(place)) for place in runs)
    if len(histories) == 1:
        return f"kis show {places} {'--html run.html' if histories[0].log.end else '--follow'}"
    if len({history.run.params for history in histories}) >= _SIZES:
        logs = " ".join(f"--logs {shlex.quote(str(place))}" for place in runs)
        return f"kis predict {logs} --target 7B"
    return f"kis show {places} --html runs.html"


def _write_page(path: Path, histories: Sequence[History]) -> None:
    from kis_plugin.storage.atomic_write import write_atomically
    from kis_plugin.summary.page import page

    write_atomically(path, page(histories), where=f"--html {path}")
    _notify(f"wrote {path}")


def _write_plot(path: Path, histories: Sequence[History]) -> None:
    from kis_plugin.errors import need_or_refuse
    from kis_plugin.storage.atomic_write import write_atomically
    from kis_plugin.summary.charts import charts_of

    def need() -> None:
        try:
            import matplotlib  # noqa: F401
        except ImportError as error:
            raise ImportError(f"{error}. Install it with: pip install 'kis-plugin[plot]'") from error

    need_or_refuse(f"--plot {path}", need, "matplotlib")
    if not charts_of(histories):
        raise KISError(Problem(f"--plot {path}", "no retention and no loss in the logs", "something to draw"))
    from kis_plugin.summary.plot import picture

    write_atomically(path, picture(histories, path.suffix.lower().lstrip(".")), where=f"--plot {path}")
    _notify(f"wrote {path}")


def _notify(line: str) -> None:
    to_stderr(f"kis: {line}.".replace("..", "."))
