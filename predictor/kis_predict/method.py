"""The frozen method: its version, and the constants that a reviewer would question.

Changing a constant or a rule makes a new version, with the tables of the page on estimators measured before and after.
``--sensitivity`` shows how the answer moves when each constant is halved and doubled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from types import ModuleType
from typing import Any

from kis_predict.curves import intervals, noise, rise_fall, size_estimates, two_lines
from kis_predict.laws import built_in, law_fit, nuisance_grid, peak_gap, prefixes, refusal

__all__ = ["CONSTANTS", "VERSION", "Constant", "changed", "describe"]

VERSION = "4.1"


@dataclass(frozen=True)
class Constant:
    """A constant of the method.

    Attributes:
        meaning: In a phrase.
        name: Of the module attribute that holds it.
        modules: Where it is used.
        of_sizes: Whether the estimates of single sizes depend on it.
    """

    meaning: str
    name: str
    modules: tuple[ModuleType, ...]
    of_sizes: bool

    @property
    def value(self) -> float:
        """Its present value."""
        return float(getattr(self.modules[0], self.name))


CONSTANTS: Mapping[str, Constant] = {
    "drop": Constant("part of the peak's height whose loss is a collapse", "DROP", (rise_fall, two_lines), True),
    "usual_noise": Constant("intra-class correlation of seeds where none repeat", "USUAL_RHO",
                            (noise, size_estimates), True),
    "family_trust": Constant("power of the evidence that weighs curve families", "TRUST", (size_estimates,), True),
    "family_misfit": Constant("error of every curve family at a collapse point, grid steps", "MISFIT",
                              (intervals,), True),
    "sure_odds": Constant("odds from which a size is read one way only", "SURE", (size_estimates,), True),
    "law_scatter": Constant("scale of the scatter of sizes about a law, nats", "SCATTER", (nuisance_grid,), False),
    "exponent": Constant("prior standard deviation of a law's exponent of N", "EXPONENT", (nuisance_grid,), False),
    "bad_size": Constant("prior probability that one size is bad", "BAD", (nuisance_grid, prefixes), False),
    "bad_scatter": Constant("scatter of a bad size, nats", "BAD_SCATTER", (nuisance_grid, prefixes), False),
    "curvature": Constant("factor on the prior widths of the curvature", "CURVATURE", (built_in,), False),
    "caution": Constant("how much more laws with a curvature count for the recommendation", "CAUTION", (built_in,),
                        False),
    "gap_slope": Constant("prior of how the gap below the collapse changes with log N", "SLOPE", (peak_gap,), False),
}  # fmt: skip

_LOCK = Lock()


@contextmanager
def changed(name: str, value: float) -> Iterator[None]:
    """Let a constant have another value inside the block. One thread at a time."""
    constant = CONSTANTS[name]
    with _LOCK:
        before = {module: getattr(module, constant.name) for module in constant.modules}
        try:
            for module in constant.modules:
                setattr(module, constant.name, value)
            yield
        finally:
            for module, old in before.items():
                setattr(module, constant.name, old)


def describe() -> dict[str, Any]:
    """Return the version and every constant, by name: what ``--json`` prints as ``method``."""
    return {
        "version": VERSION,
        "constants": {name: constant.value for name, constant in CONSTANTS.items()},
        "curvatures": list(built_in.CURVATURES),
        "prior_weights": {law.name: law.prior_weight for law in built_in.built_in_laws()},
        "draws": law_fit.DRAWS,
        "most_far": refusal.MOST_FAR,
        "most_width": refusal.MOST_WIDTH,
        "most_error": refusal.MOST_ERROR,
    }
