"""How much knowledge a model can store."""

from __future__ import annotations

__all__ = ["BITS_PER_PARAMETER", "BITS_PER_PARAMETER_AT_100", "least_parameters"]

BITS_PER_PARAMETER = 2.0
"""Bits of knowledge that a parameter stores at most, after about 1,000 exposures of each fact: Allen-Zhu and Li 2024,
"Physics of Language Models: Part 3.3, Knowledge Capacity Scaling Laws", arXiv 2404.05405, result 1."""
BITS_PER_PARAMETER_AT_100 = 1.0
"""The same after about 100 exposures: result 2 there."""


def least_parameters(bits: float) -> float:
    """Return the parameters of the smallest model that could store ``bits`` of knowledge."""
    return bits / BITS_PER_PARAMETER
