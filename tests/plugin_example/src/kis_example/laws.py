"""A scaling law: every model collapses at the same amount."""

import numpy as np


class FloorLaw:
    name = "same_for_all"
    formula = "log F_c = a"
    parameters = ("a",)

    def features(self, params, tokens):
        return np.ones((len(params), 1))
