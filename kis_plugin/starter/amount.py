"""How many exposures a new project plans: from its facts, and from the length of a run that ends in minutes."""

from __future__ import annotations

__all__ = ["LEAST_EXPOSURES", "MOST_EXPOSURES", "RUN_TOKENS", "SHARE", "exposures_of"]

SHARE = 0.3
"""Fraction of the tokens that are infused, at most. In the study of 200 facts (``docs/explanation/law-study.md``) no
size collapsed at a share below 0.34."""
RUN_TOKENS = 5_000_000
"""Tokens of a run that ends in minutes on a CPU, with the scripts' models of a quarter of a million parameters."""
MOST_EXPOSURES = 500
"""As many as such a model needs for a few facts (``docs/tutorial/first-infusion.md``). Larger models need fewer."""
LEAST_EXPOSURES = 100
"""With fewer, models of the recorded studies ended close to chance. More facts than these allow take a longer run."""


def exposures_of(tokens: int) -> int:
    """Return the exposures of each fact, in tens.

    Args:
        tokens: Of one exposure of every fact.
    """
    fitting = int(SHARE * RUN_TOKENS / max(tokens, 1)) // 10 * 10
    return min(max(fitting, LEAST_EXPOSURES), MOST_EXPOSURES)
