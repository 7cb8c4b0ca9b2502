"""The records of a run log, each a frozen dataclass: what its fields mean and what they may hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

__all__ = [
    "GENERAL", "RECORDS", "SCHEMA", "End", "Guard", "Loss", "Record", "Retention", "Run", "Status", "TrainingRecipe",
    "is_split",
]  # fmt: skip

SCHEMA = 2
"""Version of the format. 2 renamed a few fields of 1 (``parse.RENAMED``), which is still read."""
GENERAL = "general"
"""The split of loss that KIS measures itself, on ``retention.general_text``."""

_LARGEST = 2**63 - 1  # of a whole number: a larger one is no count, and no library computes with it

Extra = Mapping[str, Any]
Status = Literal["completed", "stopped", "diverged", "failed"]
"""How a run ended."""


@dataclass(frozen=True)
class _Finite:
    """A finite number as JSON holds it, for pydantic; ``1.0`` is a whole one, text and truth values are none."""

    whole: bool
    least: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Tell pydantic how to validate a field of this type."""
        from pydantic_core import core_schema as schema

        real = schema.float_schema(strict=True, allow_inf_nan=False, ge=self.least)
        if not self.whole:
            return real
        least = None if self.least is None else int(self.least)
        exact = schema.int_schema(strict=True, ge=least, le=_LARGEST)
        return schema.union_schema([exact, schema.chain_schema([real, schema.int_schema(ge=least, le=_LARGEST)])])


Integer = Annotated[int, _Finite(whole=True)]
Real = Annotated[float, _Finite(whole=False)]
Count = Annotated[int, _Finite(whole=True, least=0)]
Amount = Annotated[float, _Finite(whole=False, least=0)]


@dataclass(frozen=True, kw_only=True)
class Run:
    """The first line: what was run. One log may hold it again after a resume; the first counts."""

    type: ClassVar[str] = "run"
    run_id: str
    """Name of the run, and of its folder."""
    params: Count
    """Model size N: all parameters, tied ones once."""
    tokens: Count
    """Token budget D: training tokens of the whole run, infused ones included."""
    frequency: Amount
    """Infusion frequency F: exposures per fact in the whole run. 0 for an uninfused run."""
    params_non_embedding: Count | None = None
    """Parameters without the embeddings."""
    framework: str = ""
    """What trained it: ``hf``, ``litgpt``, ``torch``, or another."""
    facts: Count | None = None
    """Number of facts, or of passages, that the run infuses."""
    tokens_per_fact: Real | None = None
    """Mean tokens of one exposure, its separator included."""
    infused_tokens: Count | None = None
    """Tokens of infused texts in the whole run, separators included."""
    share: Real | None = None
    """Infused tokens / D."""
    options: Integer | None = None
    """Options of a multiple-choice probe; chance is 1 / options."""
    seed: Integer | None = None
    """Seed of the configuration."""
    schedule_hash: str = ""
    """Fingerprint of the plan: runs with the same one infuse the same texts into the same rows."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of KIS and of the libraries used, by name."""
    schema: Integer = SCHEMA
    """Version of the log's format."""
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """How the host trains, as the first record says it beside the fields of ``run``; what is unknown is left out.

    ``kis-predict`` warns where the runs of a sweep differ in it. Logs of other writers may hold any of these fields in
    any form.
    """

    optimizer: str | None = None
    """Class of the optimizer: ``AdamW``."""
    learning_rate: float | None = None
    """Peak learning rate; the greatest where groups of parameters differ."""
    lr_schedule: str | None = None
    """Learning-rate schedule: the Trainer's name for it, ``cosine`` for LitGPT, else the class of the scheduler."""
    warmup_steps: int | None = None
    """Optimizer steps of the learning rate's warm-up."""
    warmup: float | None = None
    """The same as a part of all optimizer steps."""
    weight_decay: float | None = None
    """Weight decay; the greatest where groups of parameters differ."""
    beta1: float | None = None
    """Decay of the optimizer's mean of gradients."""
    beta2: float | None = None
    """Decay of the optimizer's mean of squared gradients."""
    batch_size: int | None = None
    """Rows of one optimizer step, over all ranks and accumulated batches."""
    sequence_length: int | None = None
    """Tokens of a row; of the longest one where they differ."""
    base_repeats: float | None = None
    """How often the run reads a row of the base data: rows trained on / rows of the data, and 1 for less than all."""

    def __post_init__(self) -> None:
        """Let a run that reads a part of its data count as one that reads each row once; keep three digits."""
        if self.base_repeats is not None:
            object.__setattr__(self, "base_repeats", float(f"{max(self.base_repeats, 1.0):.3g}"))

    def known(self) -> dict[str, str | int | float]:
        """Return the fields that are known, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Accuracy of one probe series at one step."""

    type: ClassVar[str] = "retention"
    step: Count
    """Optimizer steps done."""
    tokens: Count
    """Training tokens seen so far."""
    probe: str
    """The series: ``held_out`` is retention proper, ``seen`` and ``control`` go beside it."""
    accuracy: Real
    """Correct answers / questions."""
    n: Count
    """Number of probes behind ``accuracy``."""
    independent: Real | None = None
    """Number of independent probes that carry as much information, where facts are probed by several templates; ``n``
    if missing."""
    correct: Count | None = None
    """Number of correct answers."""
    margin: Real | None = None
    """Mean log-probability of the right option minus that of the best wrong one, in nats."""
    bits_per_byte: Real | None = None
    """Mean bits per byte of the right option's text."""
    seconds: Real | None = None
    """Wall time of the whole evaluation that this series was part of."""
    extra: Extra = field(default_factory=dict)

    @property
    def worth(self) -> int:
        """How many independent probes ``accuracy`` is taken to rest on; 1 or more."""
        return self.n if self.independent is None else max(1, min(self.n, round(self.independent)))


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Mean loss on general text, in nats per token.

    ``split`` says whose text: the host's own, as ``eval`` or ``val``, or ``general`` for ``retention.general_text``.
    """

    type: ClassVar[str] = "loss"
    step: Count
    """Optimizer steps done."""
    tokens: Count
    """Training tokens seen so far."""
    split: str
    """Whose text: ``eval`` or ``val`` for the host's own, ``general`` for ``retention.general_text``."""
    loss: Real
    """Mean loss, in nats per token."""
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What the guard found at one evaluation, and what it did. Readers may skip it."""

    type: ClassVar[str] = "guard"
    step: Count
    """Optimizer steps done."""
    tokens: Count
    """Training tokens seen so far."""
    verdict: str
    """``steady``; ``falling``: held-out retention fell, but not yet in enough evaluations in a row; ``forgetting``:
    seen retention fell too; ``collapse``; ``loss``: general loss is above its limit."""
    action: str | None = None
    """What was done about it at this step; missing for nothing."""
    best_step: Integer | None = None
    """The step of the best evaluation so far, with which this one was compared."""
    n: Count | None = None
    """Held-out questions that both evaluations have."""
    lost: Integer | None = None
    """Facts of which fewer questions are answered rightly now than at the best evaluation."""
    gained: Integer | None = None
    """Facts of which more questions are answered rightly now than at the best evaluation."""
    p_value: Real | None = None
    """Of the one-sided randomization test over facts; with one question a fact, of the sign test."""
    level: Real | None = None
    """The fall is significant if ``p_value`` is at most this."""
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class End:
    """The last line: how the run ended and what the model was really shown."""

    type: ClassVar[str] = "end"
    status: Status
    """``diverged``: logits or a loss became NaN or infinite, whatever step the run reached."""
    """How the run ended."""
    step: Count
    """Optimizer steps done."""
    tokens: Count
    """Training tokens seen."""
    achieved_frequency: Mapping[str, float] | None = None
    """``min``, ``max`` and ``mean`` exposures per fact, counted from what the model was given."""
    extra: Extra = field(default_factory=dict)


Record = Run | Retention | Loss | Guard | End
RECORDS: Mapping[str, type[Record]] = {cls.type: cls for cls in (Run, Retention, Loss, Guard, End)}


def is_split(split: str, named: str) -> bool:
    """Return whether a split is the one that a user named: the Trainer puts ``eval_`` before their names."""
    return split in (named, f"eval_{named}")
