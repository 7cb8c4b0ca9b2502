"""Figures of the recorded studies and of the literature that ``kis check`` compares a configuration with."""

from __future__ import annotations

__all__ = [
    "AT_HIGH_SHARE", "BY_TEMPLATES", "ENOUGH_EXPOSURES", "ENOUGH_TEMPLATES", "HALF_WIDTH", "LARGEST_STUDIED",
    "LEAST_EXPOSURES", "MANY_TEMPLATES", "MOST_COST", "MOST_SHARE", "NEAR_60", "NEAR_122",
]  # fmt: skip

LEAST_EXPOSURES = 44
"""Fewest exposures at which a run of the studies of 200 and 500 facts (``studies/law/results.csv``,
``studies/five_templates/results.csv``) ended clearly above chance: 0.379 of 0.25, 992,208 parameters. Of the 12 runs at
20 to 36 exposures, none ended above 0.28."""
NEAR_60, NEAR_122 = (0.26, 0.39), (0.34, 0.90)
"""Lowest and highest held-out retention of the sizes of the study of 200 facts (``studies/law``) at 60 and at 122
exposures; chance is 0.25."""
ENOUGH_EXPOSURES = 97
"""From here on most sizes of that study ended above 0.45."""
LARGEST_STUDIED = 2_038_896
"""Parameters of the largest model of these studies. They say nothing of models ten times as large."""

BY_TEMPLATES = ((1, "0.31"), (3, "0.37"), (5, "0.58 to 0.68"), (10, "0.65"))
"""Held-out retention near 100 exposures by the number of training templates, 474,320 parameters, chance 0.25
(``docs/explanation/experiments.md``, "In how many templates should a fact be phrased?")."""
ENOUGH_TEMPLATES = 10
"""With five, the same size retained less at every share."""

MOST_SHARE = 0.35
"""Share of the tokens at which the first size of the study of 200 facts collapsed: 0.36, at 205 exposures of 992,208
parameters (README, first table). Peaks lie at 0.2 to 0.3."""

AT_HIGH_SHARE = ((5, "0.50"), (10, "0.64"), (20, "0.87"))
"""Held-out retention at 402 exposures and a share of about 0.7 by the number of training templates, 474,320 parameters,
chance 0.25 (``docs/explanation/what-is-the-collapse.md``, "Do more templates help?")."""
MANY_TEMPLATES = 20

HALF_WIDTH = 0.1
"""Half the width of a 95 % interval beyond which a series can hardly show a difference: seeds differ by 0.06 in the
studies, and half of the way from chance to full retention by four options is 0.375."""

MOST_COST = 0.05
"""Fraction of the training time that evaluation may take before it is pointed out: ``docs/how-to/evaluation-cost.md``
recommends 0.02."""
