"""Published values of From Data to Knowledge (Christoph et al. 2025) beside what ``kis-predict efficiency`` computes.

    python -m benchmarks published_efficiency

As certified values of statistical software are shown: what was published, what is computed, and to how many of the
published digits they agree. Constants and exponents are those of the paper's repository
(Jabbawukis/sample-efficiency-evaluation). Its answers of models are not published with them, so the last rows fit the
law to answers that have exactly the published probabilities.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from kis_plugin.counting.learning_efficiency import accuracy_at
from kis_predict.efficiency.joint_fit import Trials, exponent, fit

L0, X0, ALPHA = 0.0, 0.8844526, 0.0866016
"""The constants of the final code, for BEAR."""
SIZES = (124_000_000, 209_000_000, 355_000_000)
ALPHAS = (0.0815, 0.0899, 0.0965)
"""Of models of these sizes."""


class Row(NamedTuple):
    """One value."""

    what: str
    published: str
    computed: float

    @property
    def digits(self) -> int:
        """To how many significant digits the two agree; all of the published ones at most."""
        given = float(self.published)
        most = len(self.published.replace(".", "").replace("-", "").lstrip("0")) or 1
        return next((count for count in range(most, 0, -1) if _near(self.computed, given, count)), 0)

    @property
    def published_digits(self) -> int:
        """Significant digits of the published value."""
        return len(self.published.replace(".", "").replace("-", "").lstrip("0")) or 1


def rows() -> list[Row]:
    """Compute all values."""
    found = [
        Row(f"P(correct) at {count:,} occurrences", text, float(accuracy_at(count, L0, X0, ALPHA)))
        for count, text in ((0, "0.1155"), (10, "0.2814"), (1000, "0.5138"))
    ]
    law = exponent(SIZES, ALPHAS)
    assert law is not None
    found.append(Row("exponent of alpha in N, three sizes", "0.161", law))
    fitted = fit([exact_trials(alpha) for alpha in ALPHAS])
    for size, alpha, text in zip(SIZES, fitted.alphas, ("0.0815", "0.0899", "0.0965"), strict=True):
        found.append(Row(f"alpha at {size // 10**6}M, fitted together", text, alpha))
    found.append(Row("x0, fitted together", "0.8844526", fitted.x0))
    return found


def exact_trials(alpha: float, each: float = 1000.0) -> Trials:
    """Return answers whose fractions of right ones are the law's probabilities, at 0 to 8,192 occurrences."""
    x = np.array([0, *(2**power for power in range(14))], dtype=np.float64)
    right = each * accuracy_at(x, L0, X0, alpha)
    return Trials(np.log1p(x), right, each - right)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit with 1 where a value differs in a published digit."""
    argparse.ArgumentParser(
        prog="python -m benchmarks published_efficiency", description=__doc__.split("\n")[0]
    ).parse_args(argv)
    table = Table("Value", "Published", "Computed", "Digits that agree")
    found = rows()
    for row in found:
        table.add_row(row.what, row.published, f"{row.computed:.7f}", f"{row.digits} of {row.published_digits}")
    Console(width=100).print(table)
    return int(any(row.digits < row.published_digits for row in found))


def _near(computed: float, published: float, digits: int) -> bool:
    """Return whether the values are equal when rounded to so many significant digits."""
    unit = 10 ** (math.floor(math.log10(abs(published))) - digits + 1)
    return bool(abs(computed - published) <= unit / 2 * (1 + 1e-9))
