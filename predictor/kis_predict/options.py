"""What options of ``kis-predict`` take: amounts, open intervals, files to be written."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from kis_plugin.amounts import parse_amount
from kis_plugin.errors import Problem

__all__ = ["Amount", "Open", "input_problems", "output_problems"]

PICTURES = (".png", ".svg", ".pdf")


class Amount(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.3
    """A whole amount such as 7B."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        try:
            return value if isinstance(value, int) else parse_amount(value)
        except ValueError as error:
            self.fail(f"{value!r} is not {error}.", param, ctx)


class Open(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A number between two limits, both excluded; nan is none."""

    name = "number"

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not self.low < number < self.high:
            self.fail(f"{value!r} is not a number between {self.low:g} and {self.high:g}.", param, ctx)
        return number


def input_problems(
    logs: Sequence[str], points: Path | None, plot: Path | None, write_config: Path | None
) -> list[Problem]:  # fmt: skip
    """Return what is wrong with the choice between logs and critical points."""
    if points is None:
        return [] if logs else [Problem("--logs", "nothing", "a folder of runs, or --points with critical points")]
    problems = [Problem("--points", "--logs beside it", "one of the two")] if logs else []
    if plot:
        problems.append(Problem("--plot", "--points beside it", "logs of runs: there are no curves to draw"))
    if write_config:
        expected = "logs of runs: in what unit the points are is not known"
        problems.append(Problem("--write-config", "--points beside it", expected))
    return problems


def output_problems(plot: Path | None, report: Path | None, write_config: Path | None) -> list[Problem]:
    """Return what would keep a file from being written, before anything is computed for it."""
    problems = []
    for option, path in (("--plot", plot), ("--report", report), ("--write-config", write_config)):
        if path is None:
            continue
        where = f"{option} {path}"
        if path.is_dir():
            problems.append(Problem(where, "a folder", "the name of a file"))
        elif not path.parent.is_dir():
            problems.append(Problem(where, f"no folder {path.parent}", "a folder that is there"))
        elif path.exists() and not path.is_file():
            problems.append(Problem(where, "a device or a pipe", "a file, or a new name"))
        elif not os.access(path if path.exists() else path.parent, os.W_OK):
            problems.append(Problem(where, "a place that may not be written", "one that may"))
        if option != "--write-config" and find_spec("matplotlib") is None:
            problems.append(Problem(where, "no matplotlib", "the extra", "pip install 'kis-plugin[plot]'."))
    if plot and plot.suffix.lower() not in PICTURES:
        problems.append(Problem(f"--plot {plot}", f"{plot.suffix or 'no ending'}", f"one of {', '.join(PICTURES)}"))
    if report and report.suffix.lower() not in (".html", ".htm"):  # the logs' own names never end so
        problems.append(Problem(f"--report {report}", f"{report.suffix or 'no ending'}", ".html"))
    if write_config and write_config.is_file():
        hint = "Name another, or remove it."
        problems.append(Problem(f"--write-config {write_config}", "a file of that name", "a new one", hint))
    return problems
