"""``kis.yaml`` as frozen dataclasses: every key with its type, its rule, its default and what it means.

The validation of a file (``validate.py``), ``kis schema`` and the reference page are all made from these.
"""

from __future__ import annotations

import os
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar

from kis_plugin.config.choice import Choice
from kis_plugin.config.key_rules import Amount, ChoiceOf, FractionOrSteps, NameOrNames, NamesAmong, Window
from kis_plugin.config.rules import Flag, Number, OneOf, PathText, Text, Whole

__all__ = [
    "AMOUNTS", "CHOICES", "DEFAULT_FREQUENCY", "PRESETS", "RENAMED", "RETENTION_PATHS", "STRICT", "Config",
    "GuardConfig", "InfusionConfig", "KisYaml", "ProbesConfig", "RetentionConfig", "is_file_name", "nearest_existing",
]  # fmt: skip

DEFAULT_FREQUENCY = 64.0
AMOUNTS = ("frequency", "share", "tokens")
CHOICES = {"schedule": "schedules", "rendering": "renderers", "selection": "selections"}
"""Keys of ``infusion`` that name something plugins register, with its kind."""
PRESETS: dict[str, dict[str, Any]] = {
    # Moiseev et al. 2022 (arXiv 2205.08184): triples and general text half and half, one of the two names predicted.
    "skill": {
        "share": 0.5,
        "rendering": Choice("triples", {"subject_last": True}),
        "template_order": "cycle",
        "loss": "object",
    },
    # Its baseline: the same questions and no exposures, in a run of as many general tokens, half of the infused run's.
    "skill-baseline": {
        "frequency": 0.0,
        "rendering": Choice("triples", {"subject_last": True}),
        "template_order": "cycle",
        "loss": "object",
    },
}
"""Values of the keys of ``infusion`` by ``infusion.preset``: those of a paper."""
RETENTION_PATHS = {
    "background": "a file or folder of facts",
    "qa": "a file of questions and answers",
    "general_text": "a file or folder of text",
    "corpus_counts": "what kis count wrote",
}
"""Keys of ``retention`` that name a file, and what should be there."""
RENAMED = {
    "infusion.templates": "It is now infusion.template_order: cycle (was rotate), first (was one) or random.",
    "infusion.wordings": "It is now infusion.max_templates.",
    "infusion.chunk": "It is now infusion.chunk_tokens.",
    "retention.probes.templates": "It is now retention.probes.kinds.",
    "retention.probes.wordings": "It is now retention.probes.templates_per_fact.",
    "retention.text": "It is now retention.general_text.",
    "retention.counts": "It is now retention.corpus_counts.",
    "retention.guard.drop": "It is now retention.guard.min_drop.",
    "retention.guard.false_alarms": "It is now retention.guard.alpha.",
    "retention.guard.keep": "It is now retention.guard.throttle_to.",
}
"""Keys that were renamed, with the sentence that says what to write now."""
STRICT: dict[str, Any] = {"extra": "forbid", "use_attribute_docstrings": True}
"""How pydantic reads these dataclasses: unknown keys are refused, and the docstring of a field describes its key."""

_EXPOSURES = 1e15


@dataclass(frozen=True)
class InfusionConfig:
    """How much is infused, and where. Exactly one of the three amounts is set."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    frequency: Annotated[float | None, Number(0, _EXPOSURES)] = None
    """Exposures per fact in the whole run, exact; a fraction gives some facts one more. 0 infuses nothing and still
    probes: the run to compare with. 64 where no amount is given."""
    share: Annotated[float | None, Number(0, 1)] = None
    """Infused tokens as a fraction of the run's tokens, from 0 to 1; in place of ``frequency``."""
    tokens: Annotated[int | None, Amount()] = None
    """Infused tokens: ``1.2B``, ``300M``, ``5k``, ``20000``; in place of ``frequency``."""
    placement: Annotated[str, OneOf(("rows", "inline"))] = "rows"
    """``rows``: an infused row begins with packed sentences and continues with base text. ``inline``: single sentences
    stand between those of the base text, and the row keeps its length."""
    window: Annotated[tuple[float, float], Window()] = (0.0, 1.0)
    """The part of the run that is infused, as fractions of its rows."""
    schedule: Annotated[Choice, ChoiceOf("schedules")] = field(default_factory=lambda: Choice("uniform"))
    """How densely each part of the window is infused: ``uniform``, ``ramp``, ``burst``, ``spaced``, or a plugin's."""
    rendering: Annotated[Choice, ChoiceOf("renderers")] = field(default_factory=lambda: Choice("sentences"))
    """How a fact is phrased: ``sentences`` by its templates, ``triples`` as subject, relation and object, or a
    plugin's."""
    template_order: Annotated[str, OneOf(("cycle", "first", "random"), {"rotate": "cycle", "one": "first"})] = "cycle"
    """``cycle``: the exposures of a fact go through its training templates in turn. ``first``: all use the first.
    ``random``: each draws one."""
    max_templates: Annotated[int, Whole(1)] | None = None
    """Use at most so many training templates of a fact, its first ones. All by default; ``template_order: first`` is
    1."""
    loss: Annotated[str, OneOf(("all", "object"))] = "all"
    """Which infused tokens are training targets: ``all``, or those of the ``object`` alone, of the subject where it
    stands last. Facts only, passages have no object; the Trainer, not LitGPT."""
    attention: Annotated[str, OneOf(("row", "sentence"))] = "row"
    """``row``: the sentences of a row see those before them, separated by EOS. ``sentence``: each sees itself only; the
    Trainer with models that respect ``position_ids``, not LitGPT."""
    chunk_tokens: Annotated[int, Whole(2)] | None = None
    """Split documents into chunks of at most so many tokens, between sentences; by default only where a document is
    longer than a row. No effect on facts."""
    selection: Annotated[Choice, ChoiceOf("selections")] = field(default_factory=lambda: Choice("all"))
    """Which facts or passages are infused: ``all``, ``difference`` by the scores of ``kis score``, or a plugin's."""
    skip_known: Annotated[bool, Flag()] = False
    """Probe the model before the first step, and give facts that it knows already ``known_frequency``."""
    known_frequency: Annotated[float, Number(0, _EXPOSURES)] = 0.0
    """Exposures of a known fact; needs ``skip_known``, and is at most ``frequency``. With ``share`` or ``tokens``, the
    other facts get the remaining tokens."""
    preset: Annotated[str, OneOf(tuple(PRESETS))] | None = None
    """The keys of ``infusion`` as in a paper: ``skill`` (Moiseev et al. 2022) is ``share: 0.5``, ``rendering: {name:
    triples, subject_last: true}``, ``template_order: cycle`` and ``loss: object``. An amount beside it takes the
    place of its share. ``skill-baseline`` is the same with ``frequency: 0``: its run has half of the steps."""

    def __post_init__(self) -> None:
        """Fill in what the preset says, where nothing else is said."""
        for key, value in PRESETS.get(self.preset or "", {}).items():
            names = AMOUNTS if key in AMOUNTS else (key,)
            if all(getattr(self, name) == _default(name) for name in names):
                object.__setattr__(self, key, value)

    @property
    def templates_used(self) -> int | None:
        """Templates of a fact that are used at most; None for all that it has."""
        return 1 if self.template_order == "first" else self.max_templates


def _default(key: str) -> Any:
    (found,) = (field for field in fields(InfusionConfig) if field.name == key)
    return found.default if found.default_factory is MISSING else found.default_factory()


@dataclass(frozen=True)
class ProbesConfig:
    """Which facts are probed, and by which questions."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    facts: Annotated[int, Whole(1)] = 1000
    """Probe at most so many infused facts."""
    options: Annotated[int, Whole(2)] = 4
    """Answer options of a multiple-choice question; chance is 1 / options."""
    templates_per_fact: Annotated[int, Whole(1)] = 1
    """Templates of a probe kind by which each fact is probed, where its relation has that many."""
    kinds: Annotated[tuple[str, ...], NameOrNames(kind="probes")] = ("held_out",)
    """Probe kinds, one or a list: ``held_out``, ``question``, ``reversed``, ``two_hop``, ``cloze``, ``answer``,
    ``answer_space``, or a plugin's. ``seen`` is always probed beside them; control facts are probed by the first."""


@dataclass(frozen=True)
class GuardConfig:
    """The reaction to a collapse of retention during the run."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    action: Annotated[
        str, OneOf(("none", "warn", "throttle", "stop_infusing", "stop_training"), {"lower": "throttle"})
    ] = "warn"
    """What is done when retention collapses during the run: ``none``, ``warn``, ``throttle`` (infuse only part of
    the remaining exposures), ``stop_infusing`` or ``stop_training``."""
    min_drop: Annotated[float, Number(0, 1)] = 0.05
    """A fall below the best accuracy so far by less than this fraction of its height above chance is no collapse."""
    alpha: Annotated[float, Number(1e-9, 0.5)] = 0.05
    """Greatest probability of an alarm in a whole run in which retention never falls."""
    patience: Annotated[int, Whole(1)] = 2
    """Evaluations in a row that must show the fall."""
    max_loss_rise: Annotated[float, Number(0, 1e6)] | None = None
    """Nats by which general loss may rise above its lowest value so far; null: any."""
    throttle_to: Annotated[float, Number(0, 1)] = 0.5
    """Fraction of the remaining exposures that ``throttle`` still infuses."""


@dataclass(frozen=True)
class RetentionConfig:
    """When and how retention is measured."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    every: Annotated[float | int, FractionOrSteps()] = 0.1
    """When retention is measured: a fraction of the run (``0.1`` or ``10%``) or a number of steps (``500`` or ``500
    steps``). The first and the last step are always evaluated."""
    probes: ProbesConfig = field(default_factory=ProbesConfig)
    control: Annotated[int, Whole(0)] = 200
    """Facts that are held back from infusion and probed like the infused ones; at most a fifth of all."""
    by: Annotated[tuple[str, ...], NamesAmong(names=("relation", "domain", "template"))] = ("relation", "domain")
    """What each series is broken down by, beside the whole: ``relation``, ``domain``, ``template``; ``[]`` for nothing.
    With several templates a fact (``probes.templates_per_fact``) ``template`` is always among them, unless this is
    ``[]``."""
    host_metrics: Annotated[str, OneOf(("series", "all"))] = "series"
    """What the framework's own log gets: ``series``, the accuracy of each whole series, the difference to the controls
    and general loss; ``all`` adds margins, bits per byte and every part of a series. The run log always has all."""
    background: Annotated[Path, PathText()] | None = None
    """A file or folder of facts that the base text teaches, in any form that ``knowledge`` takes: they show what is
    forgotten."""
    qa: Annotated[Path, PathText()] | None = None
    """A file of questions and answers of your own, about documents or facts."""
    general_text: Annotated[Path, PathText()] | None = None
    """A file or folder of held-out general text whose loss is measured at every evaluation."""
    general_split: Annotated[str, Text()] | None = None
    """The evaluation set whose loss shows what is forgotten, where the run has several; by default the one of
    ``general_text``, else the only one."""
    corpus_counts: Annotated[Path, PathText()] | None = None
    """A file that ``kis count`` wrote: how often the base text states each fact."""
    max_cost: Annotated[float, Number(1e-6, 1)] | None = None
    """Greatest fraction of the training time that evaluation may take, 0.02 for example; fewer facts are probed to fit.
    By default all are probed."""
    batch_tokens: Annotated[int, Whole(1)] | None = None
    """Tokens of one forward pass during evaluation; by default as many as memory takes."""
    guard: GuardConfig = field(default_factory=GuardConfig)


@dataclass(frozen=True)
class ColumnsConfig:
    """Which columns of the knowledge hold the parts of a fact, where they have other names."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    subject: Annotated[str, Text()] | None = None
    """The column of subjects. If there is a column of the same name and ``Label``, its labels are used."""
    relation: Annotated[str, Text()] | None = None
    """The column of relations."""
    object: Annotated[str, Text()] | None = None
    """The column of objects."""
    id: Annotated[str, Text()] | None = None
    """The column of ids."""
    aliases: Annotated[str, Text()] | None = None
    """The column of other names of the object."""

    @property
    def mapping(self) -> dict[str, str]:
        """The columns by part, without those that keep their names."""
        return {part: column for part, column in vars(self).items() if column is not None}


@dataclass(frozen=True)
class KisYaml:
    """The keys of ``kis.yaml``."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    knowledge: Annotated[Path, PathText()]
    """The file or folder of facts or documents. Relative paths are taken from the folder of kis.yaml."""
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    """Names of columns, for tables that call them otherwise: ``{subject: head, relation: rel, object: tail}``."""
    templates: Annotated[str, Text()] | None = None
    """A ``.yaml`` file of templates, or the name of a template set; by default those that came with the knowledge, else
    the built-in ones."""
    infusion: InfusionConfig = field(default_factory=lambda: InfusionConfig(frequency=DEFAULT_FREQUENCY))
    """How much is infused, and where."""
    retention: RetentionConfig = field(default_factory=RetentionConfig)
    begin: Annotated[str, OneOf(("eos", "bos", "auto"))] = "eos"
    """What a text begins with, infused or probed: nothing but the EOS of the text before it, or ``bos``, the
    tokenizer's own token for the beginning of a document, where the documents of the training data begin with it.
    ``auto`` is ``bos`` where that token stands in the base rows looked at before training; where none are, and in
    ``kis probe``, where the tokenizer puts it before a text."""
    run_log: Annotated[Path, PathText()] = Path("runs")
    """The folder of run logs; created if it is missing."""
    cache: Annotated[Path, PathText()] | None = None
    """The folder where prepared knowledge is kept; by default ``$KIS_CACHE``, else ``~/.cache/kis``. Only large
    knowledge is kept."""
    on_mismatch: Annotated[str, OneOf(("error", "warn"))] = "error"
    """What happens if a resumed run finds other facts, templates, tokenizer, seed or schedule than the run began with:
    ``error`` names the difference and trains nothing, ``warn`` continues and says what no longer holds."""
    seed: Annotated[int, Whole(0)] = 0
    """Seed of every random choice: which rows, which order, which control facts, which questions."""


@dataclass(frozen=True)
class Config(KisYaml):
    """All of ``kis.yaml`` with its paths resolved, and the file itself."""

    path: Path | None = None
    """The configuration file; None for a configuration made in code."""


def nearest_existing(path: Path) -> Path:
    """Return ``path`` if it exists, else the nearest of its parent folders that exists."""
    return next((place for place in (path, *path.parents) if os.path.lexists(place)), Path())


def is_file_name(templates: str) -> bool:
    """Return whether ``templates`` names a file, not a set that a plugin registered."""
    return templates.endswith((".yaml", ".yml"))
