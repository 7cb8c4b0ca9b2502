"""All of the infusion in the first part of the window."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Early:
    part: float = 0.5
    name = "early"

    def __post_init__(self):
        if not 0 < self.part <= 1:
            raise ValueError("a part above 0, at most 1")

    def weights(self, parts):
        infused = max(round(self.part * parts), 1)
        return [1] * infused + [0] * (parts - infused)
