"""The first facts of the file."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class First:
    count: int = 1000
    name = "first"

    def __post_init__(self):
        if self.count < 1:
            raise ValueError("1 or more")

    def select(self, entries, seed):
        return np.arange(min(self.count, len(entries)))
