"""Llama shapes of a given size; wider models are also deeper, as in published models."""

from __future__ import annotations

import math

from kis_plugin.errors import KISError, Problem
from kis_sweep.run_spec import Shape

__all__ = ["LARGEST_TIED", "shape_of"]

LARGEST_TIED = 2_000_000_000
"""Up to this size the output layer is the embedding table, as in Llama 3.2 1B."""
_SIZE_TOLERANCE = 0.15
"""Largest relative difference between the size of a shape and the requested size."""
_DEPTH_WEIGHT = 0.1
"""Weight of the depth error relative to the size error; both are natural logarithms of ratios."""


def shape_of(params: int, vocabulary: int, where: str = "--sizes") -> Shape:
    """Return the shape whose size, including embeddings, is closest to ``params``.

    The head width is 16 below a model width of 256, 64 below 2,048, then 128; widths are multiples of it.

    Raises:
        KISError: No shape is within the tolerance: the vocabulary alone is too large for so small a model.
    """
    tied = params <= LARGEST_TIED
    widths = [*range(16, 256, 16), *range(256, 2048, 64), *range(2048, 16_385, 128)]
    shapes = [
        _shape(layers, width, vocabulary, tied)
        for width in widths
        for layers in range(max(1, round(_depth(width) / 2)), math.ceil(_depth(width) * 2) + 1)
    ]
    best = min(shapes, key=lambda shape: _distance(shape, params))
    if abs(best.params / params - 1) > _SIZE_TOLERANCE:
        expected = f"a size that a vocabulary of {vocabulary:,} leaves room for; the nearest is {best.params:,}"
        raise KISError(Problem(where, f"{params:,}", expected, "Take a smaller vocabulary or a larger size."))
    return best


def _shape(layers: int, width: int, vocabulary: int, tied: bool) -> Shape:
    head = 16 if width < 256 else 64 if width < 2048 else 128
    unit = 8 if width < 256 else 64
    # SwiGLU has three matrices: at 8 / 3 of the width they hold as many parameters as two at 4 times the width.
    feed_forward = math.ceil(width * 8 / 3 / unit) * unit
    heads = max(width // head, 1)
    return Shape(layers, width, heads, heads, feed_forward, vocabulary, tied)


def _depth(width: int) -> float:
    """Return the usual number of layers: 2 at a width of 48, 9 at 512, 16 at 2,048, 32 at 4,096, as in open models."""
    return max(width / min(16 + width / 12, 128), 2)


def _distance(shape: Shape, params: int) -> float:
    """Return how far a shape is from a size and from the usual depth for its width."""
    size, depth = math.log(shape.params / params), math.log(shape.layers / _depth(shape.width))
    return abs(size) + _DEPTH_WEIGHT * abs(depth)
