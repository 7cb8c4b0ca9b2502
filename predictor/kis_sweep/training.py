"""Training settings that all runs of a sweep share, and the initial model of each size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar

from kis_plugin.amounts import short
from kis_plugin.config.key_rules import NameOrNames
from kis_plugin.config.rules import Flag, Number, OneOf, Text, Whole
from kis_plugin.config.schema import STRICT
from kis_plugin.errors import KISError, Problem
from kis_plugin.registry import find
from kis_sweep.run_spec import PRECISIONS, Shape
from kis_sweep.shapes import shape_of

__all__ = ["Training", "initial_models", "trained_shapes"]

_SIZE_TOLERANCE = 0.01


@dataclass(frozen=True)
class Training:
    """Training settings that all runs of a sweep share.

    Attributes:
        framework: Name of the training framework.
        tokens: Token budget D of every run; None if it grows with the model.
        tokens_per_param: D / N, used if ``tokens`` is None.
        sequence_length: Tokens per row.
        batch: Rows per step.
        vocabulary: Number of tokens of the tokenizer.
        rate: Learning rate times model width.
        precision: One of ``kis_sweep.run_spec.PRECISIONS``.
        compile: Whether models are compiled.
        saves: Checkpoints per run.
        keep_models: Whether trained models are kept.
        models: Trained models from which runs continue, one per size; empty if runs start from random weights.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    framework: Annotated[str, Text()]
    tokens: Annotated[int, Whole(1)] | None
    tokens_per_param: Annotated[float, Number(0, 1e6)]
    sequence_length: Annotated[int, Whole(2)]
    batch: Annotated[int, Whole(1)]
    vocabulary: Annotated[int, Whole(2)]
    rate: Annotated[float, Number(0, 1e3)]
    precision: Annotated[str, OneOf(PRECISIONS)]
    compile: Annotated[bool, Flag()]
    saves: Annotated[int, Whole(1)]
    keep_models: Annotated[bool, Flag()]
    models: Annotated[tuple[str, ...], NameOrNames(least=0)] = ()

    def budget(self, params: int) -> float:
        """Return the token budget D of a model of N parameters, before rounding to whole steps."""
        return params * self.tokens_per_param if self.tokens is None else float(self.tokens)


def trained_shapes(training: Training) -> dict[int, tuple[Shape, str]]:
    """Return shape and name of each trained model from which runs continue, by model size.

    Raises:
        KISError: A model does not exist or cannot be trained by the framework, or two models have the same size.
    """
    framework = find("frameworks", training.framework, "--framework")
    if training.models and not hasattr(framework, "shape_of"):
        raise KISError(
            Problem("--from", f"framework {training.framework}", "one that can continue from trained models")
        )
    found: dict[int, tuple[Shape, str]] = {}
    for model in training.models:
        shape = framework.shape_of(model, training.sequence_length)
        same = next((other for size, (_, other) in found.items() if short(size) == short(shape.params)), None)
        if same is not None:
            raise KISError(Problem(f"--from {model}", f"{shape.params:,} parameters, as {same}", "another size"))
        found[shape.params] = (shape, model)
    return found


def initial_models(sizes: Sequence[int], training: Training) -> Mapping[int, tuple[Shape, str | None]]:
    """Return the shape for each size, and the trained model from which its runs continue, if any.

    Raises:
        KISError: A size has no shape or no trained model, or two sizes have the same shape.
    """
    if training.models:
        trained = trained_shapes(training)
        return {size: trained[_nearest(size, trained)] for size in sizes}
    shapes = {size: shape_of(size, training.vocabulary) for size in sizes}
    problems = [
        Problem("--sizes", f"{short(size)} and {short(other)}", "sizes with different shapes")
        for size, other in pairwise(sizes)
        if shapes[size] == shapes[other]
    ]
    if problems:
        raise KISError(problems)
    return {size: (shape, None) for size, shape in shapes.items()}


def _nearest(size: int, trained: Iterable[int]) -> int:
    """Return the trained size closest to ``size``, within 1 %: users copy sizes that are shown with three digits."""
    nearest = min(trained, key=lambda other: abs(other - size))
    if abs(nearest / size - 1) > _SIZE_TOLERANCE:
        expected = f"one of {', '.join(map(short, trained))}: this sweep continues from trained models"
        raise KISError(Problem(f"a run of N={short(size)}", "no model of this size", expected))
    return nearest
