"""One run of a sweep: the shape of its model, its recipe, its place on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from kis_plugin.amounts import short
from kis_plugin.config.rules import Flag, Number, OneOf, Whole
from kis_plugin.config.schema import STRICT
from kis_plugin.errors import KISError, Problem

__all__ = ["PRECISIONS", "Recipe", "Shape", "SweepRun"]

PRECISIONS = ("32", "bf16")
_RUN, _KIS = "run.yaml", "kis.yaml"


@dataclass(frozen=True)
class Shape:
    """A Llama: RMSNorm, SwiGLU, rotary positions, no biases."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    layers: Annotated[int, Whole(1)]
    width: Annotated[int, Whole(2)]
    heads: Annotated[int, Whole(1)]
    key_heads: Annotated[int, Whole(1)]
    """Heads of keys and values, each shared by as many queries (Ainslie et al. 2023, arXiv 2305.13245)."""
    feed_forward: Annotated[int, Whole(1)]
    """Width of the feed-forward layer."""
    vocabulary: Annotated[int, Whole(2)]
    """Rows of the embedding table."""
    tied: Annotated[bool, Flag()]
    """Whether the output layer is the embedding table."""

    @property
    def params(self) -> int:
        """Model size N: all parameters, tied ones once."""
        return self.params_non_embedding + self.vocabulary * self.width * (1 if self.tied else 2)

    @property
    def params_non_embedding(self) -> int:
        """Parameters that are neither embedding table nor output layer."""
        keys = self.width // self.heads * self.key_heads
        layer = 2 * self.width * (self.width + keys) + 3 * self.width * self.feed_forward + 2 * self.width
        return self.layers * layer + self.width


@dataclass(frozen=True)
class Recipe:
    """How a run is trained: AdamW (beta 0.9 and 0.95), a linear warmup, then a cosine."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    steps: Annotated[int, Whole(1)]
    batch: Annotated[int, Whole(1)]
    """Rows of a step."""
    sequence_length: Annotated[int, Whole(2)]
    """Tokens of a row, T."""
    learning_rate: Annotated[float, Number(0, 1e3)]
    least_rate: Annotated[float, Number(0, 1)]
    """Where the cosine ends, as a part of ``learning_rate``."""
    warmup: Annotated[float, Number(0, 1)]
    """Part of the steps."""
    weight_decay: Annotated[float, Number(0, 1e3)]
    clip: Annotated[float, Number(0, 1e6)]
    """Norm that gradients are clipped to; 0 leaves them."""
    precision: Annotated[str, OneOf(PRECISIONS)]
    """One of ``PRECISIONS``."""
    compile: Annotated[bool, Flag()]
    """Whether the model is compiled."""
    saves: Annotated[int, Whole(1)]
    """Checkpoints of a run, so that a killed one continues."""
    keep_model: Annotated[bool, Flag()]
    """Whether the trained model stays in ``work/NAME/model``."""
    seed: Annotated[int, Whole(0)]
    """Of the weights, and of the order of the rows."""

    @property
    def tokens(self) -> int:
        """Token budget D."""
        return self.steps * self.batch * self.sequence_length


@dataclass(frozen=True)
class SweepRun:
    """One run: what it is, and where all of it lies."""

    sweep: Path
    """The sweep's folder."""
    name: str
    framework: str
    """What trains it, as registered by ``kis_register_frameworks``."""
    frequency: float
    """Infusion frequency F, as in its ``kis.yaml``."""
    shape: Shape
    recipe: Recipe
    model: str | None = None
    """The trained model that it goes on from, as its framework reads it; None begins with random weights."""

    @property
    def planned_name(self) -> str:
        """The name that ``kis sweep plan`` gives a run: the same for the same cell."""
        shape = self.shape
        size = f"N{short(shape.params)}-L{shape.layers}-d{shape.width}{'' if self.model is None else '-trained'}"
        return f"{size}-D{short(self.recipe.tokens)}-F{self.frequency:.15g}-seed{self.recipe.seed}"

    @property
    def config(self) -> Path:
        """The configuration of KIS for this run."""
        return self.sweep / "configs" / self.name / _KIS

    @property
    def settings(self) -> Path:
        """The file that holds all of this."""
        return self.config.with_name(_RUN)

    @property
    def logs(self) -> Path:
        """The folder that its ``kis.yaml`` names for its run log."""
        return self.sweep / "runs" / self.name

    @property
    def work(self) -> Path:
        """The run's own folder: checkpoints, output, what went wrong."""
        return self.sweep / "work" / self.name

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints: it is gone when all of the run is done."""
        return self.work / "checkpoints"

    @property
    def tokenizer(self) -> Path:
        """The folder of the tokenizer that all runs share."""
        return self.sweep / "data" / "tokenizer"

    @property
    def rows(self) -> Path:
        """Base text: a ``.npy`` of tokens, (tokens,), packed end to end, each document ended by EOS."""
        return self.sweep / "data" / "text.npy"

    @property
    def held_out_rows(self) -> Path:
        """General text that is not trained on, likewise."""
        return self.sweep / "data" / "held_out.npy"

    @property
    def flops(self) -> float:
        """Cost of training, 6ND (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)."""
        return 6.0 * self.shape.params * self.recipe.tokens

    def refuse_other(self, found: Shape) -> None:
        """Refuse a trained model that is no longer what was planned.

        Raises:
            KISError: ``found`` is not this run's shape.
        """
        if found != self.shape:
            raise KISError(Problem(f"model {self.model}", f"{found}", f"{self.shape}, as {self.settings} says"))
