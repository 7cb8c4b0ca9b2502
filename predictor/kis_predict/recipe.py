"""What runs say of their recipe beside N, D and F, and where they differ in it: a law then mixes recipes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from kis_plugin.amounts import short
from kis_predict.observed import ObservedRun

__all__ = ["differences", "settings_of"]

_NAMES: Mapping[str, tuple[str, ...]] = {
    "optimizer": ("optimizer", "optim"),
    "learning rate": ("learning_rate", "lr", "max_lr", "peak_lr"),
    "learning-rate schedule": ("lr_schedule", "lr_scheduler", "lr_scheduler_type"),
    "warm-up": ("warmup", "warmup_ratio"),
    "length of the warm-up": ("warmup_steps", "warmup_tokens"),
    "weight decay": ("weight_decay",),
    "first beta of the optimizer": ("beta1", "adam_beta1"),
    "second beta of the optimizer": ("beta2", "adam_beta2"),
    "sequence length": ("sequence_length", "block_size", "max_seq_length", "max_seq_len"),
    "batch size": ("batch_size", "global_batch_size", "batch_tokens", "train_batch_size"),
    "base repeat rate": ("base_repeats", "base_repeat_rate", "repeat_rate", "base_epochs", "num_train_epochs"),
    "fact set": ("facts_hash", "fact_set", "knowledge_hash", "knowledge"),
    "number of training templates": ("training_templates",),
    "schedule of exposures": ("schedule",),
    "placement": ("placement",),
    "framework": ("framework",),
}
"""Settings by the names that logs and tables have for them."""
_FOLLOWS_SIZE = (
    "learning rate", "learning-rate schedule", "warm-up", "length of the warm-up", "weight decay", "batch size",
)  # fmt: skip
"""Settings that a recipe may well choose by the size."""
_EITHER = {"warm-up": "length of the warm-up", "length of the warm-up": "warm-up"}
"""One setting said in two ways, as a part of the run and in steps: where the sizes agree on one, they agree."""
_LABELS = {name: label for label, names in _NAMES.items() for name in names}
_SHOWN = 4


def settings_of(values: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Return the settings among named values, as label and text; W&B's ``config.`` before a name does not matter."""
    found: dict[str, str] = {}
    for name, value in values.items():
        label = _LABELS.get(name.strip().lower().removeprefix("config.").removeprefix("config/"))
        text = _text(value)
        if label and text:
            found.setdefault(label, text)
    return tuple(found.items())


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        return text[:40]
    return f"{number:.6g}" if math.isfinite(number) else ""


def differences(runs: Sequence[ObservedRun]) -> list[str]:
    """Return a line for each setting in which runs differ; runs that do not give it are passed over."""
    lines = []
    settings = [dict(run.settings) for run in runs]
    for label in _NAMES:
        # Sizes may have several budgets, and what follows the length of a run differs between these as it should.
        by_size: dict[tuple[int, str], set[str]] = defaultdict(set)
        for run, named in zip(runs, settings, strict=True):
            if label in named:
                by_size[run.params, f"{run.tokens:.1e}"].add(named[label])
        every = set().union(*by_size.values())
        if len(every) < 2 or _agree(label, settings):
            continue
        (params, _), inside = max(by_size.items(), key=lambda item: (len(item[1]), -item[0][0]))
        if len(inside) > 1:
            lines.append(
                f"The {label} differs between runs of one size (N={short(params)}: {_listed(inside)}): their "
                "retention does not compare; predict from runs of one recipe"
            )
        elif label in _FOLLOWS_SIZE:
            lines.append(
                f"The {label} differs between sizes ({_listed(every)}): the law holds for a target that continues this"
            )
        else:
            lines.append(
                f"The {label} differs between sizes ({_listed(every)}): the law mixes recipes; sweep all sizes with "
                "that of the target"
            )
    return lines


def _agree(label: str, settings: Sequence[Mapping[str, str]]) -> bool:
    """Return whether all runs that give a setting agree on the other way to say it."""
    other = _EITHER.get(label)
    values = {named.get(other or "") for named in settings if label in named}
    return len(values) == 1 and None not in values


def _listed(values: set[str]) -> str:
    def order(text: str) -> tuple[float, str]:
        try:
            return float(text), ""
        except ValueError:
            return math.inf, text

    shown = sorted(values, key=order)
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")
