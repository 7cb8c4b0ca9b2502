"""One run of a sweep: the shape of its model, its recipe, its paths."""

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
    """Heads of keys and values, each shared by heads / key_heads queries (Ainslie et al. 2023, arXiv 2305.13245)."""
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
    """Rows per step."""
    sequence_length: Annotated[int, Whole(2)]
    """Tokens per row, T."""
    learning_rate: Annotated[float, Number(0, 1e3)]
    least_rate: Annotated[float, Number(0, 1)]
    """Final learning rate of the cosine, as a fraction of ``learning_rate``."""
    warmup: Annotated[float, Number(0, 1)]
    """Fraction of the steps."""
    weight_decay: Annotated[float, Number(0, 1e3)]
    clip: Annotated[float, Number(0, 1e6)]
    """Maximum norm of gradients; 0 disables clipping."""
    precision: Annotated[str, OneOf(PRECISIONS)]
    """One of ``PRECISIONS``."""
    compile: Annotated[bool, Flag()]
    """Whether the model is compiled."""
    saves: Annotated[int, Whole(1)]
    """Checkpoints per run, from which a killed run continues."""
    keep_model: Annotated[bool, Flag()]
    """Whether the trained model stays in ``work/NAME/model``."""
    seed: Annotated[int, Whole(0)]
    """Seed of the initial weights and of the order of the rows."""

    @property
    def tokens(self) -> int:
        """Token budget D."""
        return self.steps * self.batch * self.sequence_length


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep: its settings and its paths."""

    sweep: Path
    """The sweep's folder."""
    name: str
    framework: str
    """Name of its training framework, as registered by ``kis_register_frameworks``."""
    frequency: float
    """Infusion frequency F, as in its ``kis.yaml``."""
    shape: Shape
    recipe: Recipe
    model: str | None = None
    """Trained model from which it continues, as its framework names it; None for random weights."""

    @property
    def planned_name(self) -> str:
        """The name that ``kis sweep plan`` gives to the run; the same cell always has the same name."""
        shape = self.shape
        size = f"N{short(shape.params)}-L{shape.layers}-d{shape.width}{'' if self.model is None else '-trained'}"
        return f"{size}-D{short(self.recipe.tokens)}-F{self.frequency:.15g}-seed{self.recipe.seed}"

    @property
    def config(self) -> Path:
        """The configuration of KIS for this run."""
        return self.sweep / "configs" / self.name / _KIS

    @property
    def settings(self) -> Path:
        """The file ``run.yaml``, which holds this specification."""
        return self.config.with_name(_RUN)

    @property
    def logs(self) -> Path:
        """The folder that its ``kis.yaml`` names for its run log."""
        return self.sweep / "runs" / self.name

    @property
    def work(self) -> Path:
        """The run's working folder: checkpoints, output, and the reason of a failure."""
        return self.sweep / "work" / self.name

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints; it is removed last, when the run is complete."""
        return self.work / "checkpoints"

    @property
    def tokenizer(self) -> Path:
        """The folder of the tokenizer that all runs share."""
        return self.sweep / "data" / "tokenizer"

    @property
    def rows(self) -> Path:
        """Base text: a ``.npy`` of token ids of shape (tokens,), documents concatenated, each followed by EOS."""
        return self.sweep / "data" / "text.npy"

    @property
    def held_out_rows(self) -> Path:
        """Held-out general text, in the same format."""
        return self.sweep / "data" / "held_out.npy"

    @property
    def flops(self) -> float:
        """Training FLOPs, 6ND (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)."""
        return 6.0 * self.shape.params * self.recipe.tokens

    def refuse_other(self, found: Shape) -> None:
        """Refuse a trained model that is not the one planned.

        Raises:
            KISError: ``found`` is not this run's shape.
        """
        if found != self.shape:
            raise KISError(Problem(f"model {self.model}", f"{found}", f"{self.shape}, as in {self.settings}"))
