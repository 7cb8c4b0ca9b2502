"""Shapes: close to the requested size, with parameters counted as the frameworks count them."""

from __future__ import annotations

import pytest

from kis_plugin.errors import KISError
from kis_sweep.shapes import shape_of


@pytest.mark.parametrize("params", [60_000, 250_000, 1_000_000, 10_000_000, 124_000_000, 1_200_000_000, 7_000_000_000])
def test_shape_is_close_to_its_size_and_can_be_built(params):
    shape = shape_of(params, 1024 if params < 10**6 else 32_000 if params > 10**7 else 8192)
    assert abs(shape.params / params - 1) < 0.15
    assert shape.width % shape.heads == 0
    assert shape.width // shape.heads % 2 == 0


def test_wider_shapes_are_deeper():
    shapes = [shape_of(params, 32_000) for params in (30_000_000, 300_000_000, 3_000_000_000, 30_000_000_000)]
    assert [shape.layers for shape in shapes] == sorted({shape.layers for shape in shapes})
    assert [shape.width for shape in shapes] == sorted({shape.width for shape in shapes})


def test_shapes_of_published_sizes_match_published_models():
    """Llama 3.2 1B has 16 layers of 2,048; Llama 2 7B has 32 of 4,096 (Touvron et al. 2023, arXiv 2307.09288)."""
    small, large = shape_of(1_230_000_000, 128_256), shape_of(6_740_000_000, 32_000)
    assert abs(small.layers - 16) <= 1
    assert small.tied
    assert 2048 <= small.width <= 2304
    assert abs(large.layers - 32) <= 1
    assert not large.tied
    assert abs(large.width - 4096) <= 128


def test_size_too_small_for_the_vocabulary_is_refused():
    with pytest.raises(KISError, match=r"--sizes.*the nearest is") as caught:
        shape_of(100_000, 32_000)
    assert "smaller vocabulary" in str(caught.value)


@pytest.mark.parametrize("params", [60_000, 250_000, 2_500_000_000])
def test_parameter_counts_match_transformers(params):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from kis_hf.sweep_training import build_model
    from kis_torch.parameters import parameter_counts

    del transformers
    shape = shape_of(params, 1024 if params < 10**6 else 128_000)
    with torch.device("meta"):
        model = build_model(shape, 64, 0)
    assert parameter_counts(model) == (shape.params, shape.params_non_embedding)
