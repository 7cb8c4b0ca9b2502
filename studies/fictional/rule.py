"""Sign and rule of D: the collapse point of each size and budget, and b and c of log F_c = a + b log N + c log D.

    python -m studies.fictional.rule studies/fictional/logs.tar.xz/budgets

b, c and b + c with 90 % intervals, from the law of ``kis-predict`` with an exponent of D: as it is, with its prior of
c, and with a flat one; it needs four sizes or budgets that collapse. Below them by least squares through the collapse
points without a curve's formula, over the resamples of ``studies.law.model_free``; a place without a fall counts there
with its highest frequency. Last, by how much held-out retention differs between the budgets of a size (root mean
square), where F is the same and where the share is, as ``studies.law.budgets`` measures it. Estimates of kis-predict
are those of method 3, which the study froze.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from kis_plugin.amounts import short
from kis_predict.curves.size_estimates import SizeEstimate, estimate_sizes
from kis_predict.laws.built_in import BudgetLaw
from kis_predict.laws.law_fit import LawFit, fit_law
from kis_predict.laws.nuisance_grid import FREE
from kis_predict.laws.selection import Sizes, fit_laws, quantile
from kis_predict.laws.size_points import points_of
from kis_predict.sweep import build_sweep
from studies.frozen import method_3
from studies.law.baseline import share_of_one_exposure
from studies.law.budgets import apart, curves
from studies.law.model_free import resampled, scatter_of
from studies.law.outcome import measured, read, spread

__all__ = ["EXPONENTS", "estimated", "exponents", "fits"]

EXPONENTS: Mapping[str, tuple[float, float, float]] = {"b": (0, 1, 0), "c": (0, 0, 1), "b + c": (0, 1, 1)}
"""As sums of the law's parameters a, b and c."""
CONFIDENCE = 0.9


def estimated(places: Sequence[str]) -> list[SizeEstimate]:
    """Return what kis-predict's method 3 finds at each size and budget of the runs at some places."""
    with method_3():
        return list(estimate_sizes(build_sweep(read(places)).groups, 1000, 0, CONFIDENCE))


def fits(sizes: Sequence[SizeEstimate]) -> dict[str, LawFit]:
    """Return the law with an exponent of D, by which prior it has: none where too few sizes collapsed."""
    learnt = [size for size in sizes if size.learnt]
    params, tokens = (np.array([getattr(size.group, name) for size in learnt], float) for name in ("params", "tokens"))
    points, law = points_of(learnt, "collapse"), BudgetLaw()
    where = Sizes(params, tokens, (float(params.max()), float(tokens.max())))
    own = [each.fit for each in fit_laws({law.name: law}, where, points, 0)]
    free = fit_law(law.features(params, tokens), points, np.random.default_rng(0), None, FREE)
    found = (("as in kis-predict", own[0] if own else None), ("flat", free))
    return {name: fit for name, fit in found if fit is not None}


def exponents(fit: LawFit) -> dict[str, tuple[float, float, float]]:
    """Return the median and the 90 % interval of each exponent."""
    ends = (0.5, (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    return {
        name: tuple(float(quantile(fit.betas @ np.array(sums), fit.weights, end)) for end in ends)  # type: ignore[misc]
        for name, sums in EXPONENTS.items()
    }


def holds_one_share(fit: LawFit) -> float:
    """Return how much of the posterior of (b, c) is nearer to its mean than one share for all sizes, b = 0 and c = 1.

    Distances are Mahalanobis', so this is the least probability of an ellipse around the mean that contains the point.
    """
    both, weights = fit.betas[:, 1:], fit.weights / fit.weights.sum()  # (draws, 2)
    away = both - weights @ both
    inverse = np.linalg.inv(away.T @ (weights[:, None] * away))
    point = np.array([0.0, 1.0]) - weights @ both
    distance = np.einsum("ij,jk,ik->i", away, inverse, away)
    return float(weights[distance < point @ inverse @ point].sum())


def without_formula(sizes: Sequence[SizeEstimate]) -> dict[str, tuple[float, float, float]]:
    """Return the exponents by least squares through the collapse points of ``studies.law.model_free``."""
    scatter = scatter_of(sizes)
    params, tokens = (np.array([getattr(size.group, name) for size in sizes], float) for name in ("params", "tokens"))
    design = BudgetLaw().features(params, tokens)
    highest = [math.log(max(run.frequency for run in size.group.runs)) for size in sizes]
    draws = [resampled(size, scatter, seed) for seed, size in enumerate(sizes)]
    points = [np.minimum(np.append(value, found), most) for (value, found), most in zip(draws, highest, strict=True)]
    betas = np.linalg.lstsq(design, np.array(points), rcond=None)[0]  # (3, 1 + resamples): the estimate first
    ends = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    found = {name: np.array(sums) @ betas for name, sums in EXPONENTS.items()}
    return {name: (float(d[0]), *(float(np.quantile(d[1:], end)) for end in ends)) for name, d in found.items()}  # type: ignore[misc]


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("logs", nargs="+", help="archives or folders of run logs")
    places = options.parse_args().logs
    sizes, out = estimated(places), Console(width=130)
    table = Table("N", "D", "runs", "F_c (90 %)", "share", "highest held-out")
    for size in sizes:
        value, low, high = measured(size)
        found = spread(value, low, high) if size.censored is None else f"{size.censored} {short(value)}"
        table.add_row(
            f"{size.group.params:,}", short(size.group.tokens), f"{len(size.group.runs)}", found,
            f"{value * share_of_one_exposure(size):.2f}" if size.censored is None and math.isfinite(value) else "",
            f"{max(run.retention or 0.0 for run in size.group.runs):.3f}",
        )  # fmt: skip
    out.print(table)
    table = Table("prior of c", *EXPONENTS, "ellipse with b = 0, c = 1")
    for name, fit in fits(sizes).items():
        ends = (f"{value:.2f} ({low:.2f} to {high:.2f})" for value, low, high in exponents(fit).values())
        table.add_row(name, *ends, f"{holds_one_share(fit):.0%}")
    values = without_formula(sizes).values()
    table.add_row("no formula", *(f"{value:.2f} ({low:.2f} to {high:.2f})" for value, low, high in values))
    out.print(table)
    table = Table("N", "apart at equal F (points)", "apart at equal share (points)")
    for params, budgets in curves(places).items():
        one, other = (budgets[tokens] for tokens in sorted(budgets)[:2])
        table.add_row(f"{params:,}", *(apart(one, other, amount, True) for amount in range(2)))
    out.print(table)


if __name__ == "__main__":
    main()
