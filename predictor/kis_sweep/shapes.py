"""Llama shapes of a given size: wider models are deeper too, as those that people train are."""

from __future__ import annotations

import math

from kis_plugin.errors import KISError, Problem
from kis_sweep.run_spec import Shape

__all__ = ["LARGEST_TIED", "shape_of"]

LARGEST_TIED = 2_000_000_000
"""Up to this size the output layer is the embedding table, as in Llama 3.2 1B."""
_OFF = 0.15
"""Part by which a shape's size may differ from the one asked for."""
_DEPTH_COUNTS = 0.1
"""What an unusual depth costs, beside a size that is off: both as natural logarithms."""


def shape_of(params: int, vocabulary: int, where: str = "--sizes") -> Shape:
    """Return the shape whose size, embeddings included, is nearest to ``params``.

    Heads are 16 wide below a width of 256, 64 below 2,048, then 128, and widths are multiples of that.

    Raises:
        KISError: No shape comes near: the vocabulary alone is too large for so small a model.
    """
    tied = params <= LARGEST_TIED
    widths = [*range(16, 256, 16), *range(256, 2048, 64), *range(2048, 16_385, 128)]
    shapes = [
        _shape(layers, width, vocabulary, tied)
        for width in widths
        for layers in range(max(1, round(_depth(width) / 2)), math.ceil(_depth(width) * 2) + 1)
    ]
    best = min(shapes, key=lambda shape: _distance(shape, params))
    if abs(best.params / params - 1) > _OFF:
        expected = f"a size that a vocabulary of {vocabulary:,} leaves room for; the nearest is {best.params:,}"
        raise KISError(Problem(where, f"{params:,}", expected, "Take a smaller vocabulary or a larger size."))
    return best


def _shape(layers: int, width: int, vocabulary: int, tied: bool) -> Shape:
    head = 16 if width < 256 else 64 if width < 2048 else 128
    unit = 8 if width < 256 else 64
    feed_forward = math.ceil(width * 8 / 3 / unit) * unit  # as many parameters as 4 times the width without a gate
    heads = max(width // head, 1)
    return Shape(layers, width, heads, heads, feed_forward, vocabulary, tied)


def _depth(width: int) -> float:
    """Return the usual number of layers: 2 at a width of 48, 9 at 512, 16 at 2,048, 32 at 4,096, as in open models."""
    return max(width / min(16 + width / 12, 128), 2)


def _distance(shape: Shape, params: int) -> float:
    off, depth = math.log(shape.params / params), math.log(shape.layers / _depth(shape.width))
    return abs(off) + _DEPTH_COUNTS * abs(depth)
