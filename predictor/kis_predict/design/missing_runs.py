"""What is missing for an answer, as runs that can be started: sizes, budgets and frequencies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from kis_plugin.amounts import short
from kis_predict.curves.size_estimates import SizeEstimate
from kis_predict.sweep import FEWEST_FREQUENCIES, MOST_SHARE, Group, Sweep, scattered_budgets

__all__ = ["FEWEST_SIZES", "missing_runs"]

FEWEST_SIZES = 3
_EXPECTED = 2.5
"""Collapses that the odds of all sizes together make likely: three in doubt are none."""


def missing_runs(sweep: Sweep, sizes: Sequence[SizeEstimate]) -> list[str]:
    """Return what keeps the sweep from an answer and the runs that would mend it; empty if nothing does."""
    seen = {size.group.params for size in sizes if size.censored is None}
    if len(seen) >= FEWEST_SIZES:
        expected = sum(map(_chance, sizes))
        if expected >= _EXPECTED:
            return []
        doubted = "; ".join(size.group.label() for size in sizes if size.odds is not None)
        line = f"By their odds {expected:.2g} sizes collapsed; {_EXPECTED:g} are needed: add seeds at {doubted}"
        return [line, *_thin_lines(sweep)]
    lines = [f"A collapse was observed at {len(seen)} size{'' if len(seen) == 1 else 's'}; {FEWEST_SIZES} are needed"]
    lines += _together(_beyond(size) for size in sizes if size.censored and size.group.params not in seen)
    lines += _thin_lines(sweep)
    have = {group.params for group in (*sweep.groups, *sweep.thin)}
    wanting = FEWEST_SIZES - len(have)
    if wanting > 0 and have:
        rule = (
            "at the same tokens per parameter"
            if len({size.group.tokens for size in sizes}) != 1
            else "at the same rule for D"
        )
        new = ", ".join(short(max(have) * 3.0**step) for step in range(1, wanting + 1))
        lines.append(
            f"Sweep {wanting} more size{'s' if wanting > 1 else ''}, such as N={new}, {rule}, "
            "each over 8 or more frequencies"
        )
    elif not have:
        lines.append(
            "Sweep 3 sizes or more, a factor 2 to 4 apart, each over 8 or more frequencies and 2 seeds near the peak"
        )
    return lines


def _chance(size: SizeEstimate) -> float:
    """Return how likely it is that a size collapsed, by its own runs."""
    return float(size.censored is None) if size.odds is None else size.odds / (1 + size.odds)


def _together(reasons: Iterable[tuple[Group, str]]) -> list[str]:
    """Return one line for each reason, under the names of all groups that share it."""
    labels: dict[str, list[str]] = {}
    for group, text in reasons:
        labels.setdefault(text, []).append(group.label())
    return [f"{'; '.join(names)}: {text}" for text, names in labels.items()]


def _beyond(size: SizeEstimate) -> tuple[Group, str]:
    group = size.group
    x = group.points()[0]
    ratio = float(np.exp(np.median(np.diff(x))))
    if size.censored == "left":
        wanted = [float(np.exp(x[0])) / ratio**step for step in (1, 2, 3)]
        return group, f"retention already falls at F={short(np.exp(x[0]))}; add runs at F={_listed(wanted)}"
    start = float(np.exp(x[-1]))
    wanted = [start * ratio**step for step in (1, 2, 3)]
    share = max((run.infused_share() or 0.0) / run.frequency for run in group.runs)
    fits = [frequency for frequency in wanted if frequency * share <= MOST_SHARE]
    reason = f"no collapse up to F={short(start)}"
    if not fits:
        more = f"a greater F would exceed a share of {MOST_SHARE:g}; use fewer facts a run, or more tokens"
        return group, f"{reason}, and {more}"
    return group, f"{reason}; add runs at F={_listed(fits)}"


def _thin_lines(sweep: Sweep) -> list[str]:
    """Return what the groups with too few frequencies lack; one line for those whose D differs per run."""
    scattered = scattered_budgets(sweep.thin)
    lines = _together(_thin(group) for group in sweep.thin if group not in scattered)
    if not scattered:
        return lines
    tokens, runs = sorted(group.tokens for group in scattered), sum(len(group.runs) for group in scattered)
    sizes = ", ".join(f"N={short(params)}" for params in sorted({group.params for group in scattered}))
    return [
        f"D differs per run at {sizes}: {len(scattered)} budgets from {short(tokens[0])} to {short(tokens[-1])} in "
        f"{runs} runs. Keep D the same at a size while F varies, over {FEWEST_FREQUENCIES + 3} or more frequencies",
        *lines,
    ]


def _thin(group: Group) -> tuple[Group, str]:
    have = sorted({run.frequency for run in group.runs})
    more = FEWEST_FREQUENCIES + 3 - len(have)
    span = (
        f"around F={short(have[0])}"
        if len(have) == 1
        else f"between and beyond F={short(have[0])} and {short(have[-1])}"
    )
    return group, f"{len(have)} frequenc{'y' if len(have) == 1 else 'ies'}; add {more} more {span}"


def _listed(frequencies: Sequence[float]) -> str:
    return ", ".join(short(frequency) for frequency in frequencies)
