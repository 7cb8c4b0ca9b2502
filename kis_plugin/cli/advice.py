"""What ``kis check`` advises: settings that are right and will probably teach nothing, cost much or show little."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt

import numpy as np

from kis_plugin.amounts import short
from kis_plugin.cli import study_figures as study
from kis_plugin.config.schema import Config
from kis_plugin.knowledge.capacity import BITS_PER_PARAMETER, BITS_PER_PARAMETER_AT_100
from kis_plugin.knowledge.fact_codes import FactCodes
from kis_plugin.retention.intervals import least_above
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.series import CONTROL

__all__ = ["Advice", "Plan", "advise", "information"]

_MANY = 1000  # exposures after which a model stores as much as it ever does
_CHARACTERS = 4  # of a token of English text in vocabularies of 32,000 and more
_PASSES = 3  # a training step costs three forward passes: one forward, and backward twice that
_NAMED = 3  # relations that a line names


@dataclass(frozen=True)
class Advice:
    """One thing to change.

    Attributes:
        key: The key of kis.yaml, or what else it is about.
        found: What is planned, and why that is a problem.
        change: What to do about it.
    """

    key: str
    found: str
    change: str

    def __str__(self) -> str:
        """Return the advice in one line."""
        return f"{self.key}: {self.found} {self.change}"


@dataclass(frozen=True)
class Plan:
    """What a run would do, as far as it is known without its tokenizer and its data.

    Attributes:
        config: The configuration.
        templates: Training templates that each relation uses.
        bits: Information of the infused facts, in bits.
        characters: Characters of a sentence about an infused fact, on average.
        infused: Infused facts.
        questions: Those of an evaluation.
        params: Parameters of the model; None if not given.
        tokens: Tokens of the run; None if not given.
        misread: A sentence of each relation without templates whose name will probably not read well in any.
    """

    config: Config
    templates: dict[str, int]
    bits: float
    characters: float
    infused: int
    questions: Sequence[Question]
    params: int | None = None
    tokens: int | None = None
    misread: Mapping[str, str] = field(default_factory=dict)

    @property
    def tokens_per_fact(self) -> float:
        """Return the estimated tokens of one exposure, the EOS among them."""
        return self.characters / _CHARACTERS + 1

    @property
    def share(self) -> float | None:
        """Return the share of the run that is infused; None if it is not known."""
        infusion = self.config.infusion
        if infusion.share is not None or self.tokens is None:
            return infusion.share
        tokens = infusion.tokens
        if infusion.frequency is not None:
            tokens = round(infusion.frequency * self.infused * self.tokens_per_fact)
        return (tokens or 0) / self.tokens

    @property
    def frequency(self) -> float | None:
        """Return the exposures of each fact; None if they are not known."""
        infusion = self.config.infusion
        if infusion.frequency is not None or not self.infused:
            return infusion.frequency
        tokens = infusion.tokens
        if infusion.share is not None and self.tokens is not None:
            tokens = round(infusion.share * self.tokens)
        return None if tokens is None else tokens / (self.infused * self.tokens_per_fact)


def information(codes: FactCodes) -> float:
    """Return the information of facts in bits: the entropy of the objects of each relation, summed over its facts.

    That is what a model has to store that knows relations, subjects and the list of objects already. Facts whose
    objects follow from each other have less.
    """
    bits = 0.0
    for relation in np.unique(codes.relation).tolist():
        objects = codes.object[codes.relation == relation]
        _, counts = np.unique(objects, return_counts=True)
        bits -= float((counts * np.log2(counts / len(objects))).sum())
    return bits


def advise(plan: Plan) -> tuple[Advice, ...]:
    """Return what to change; nothing where nothing is wrong."""
    of_facts = (_names, _templates, _exposures, _share, _capacity)
    infuses = plan.frequency != 0 and plan.infused > 0  # neither the run to compare with, nor documents
    checks = (*(of_facts if infuses else ()), _cost, _probes)
    return tuple(found for check in checks for found in check(plan))


def _names(plan: Plan) -> Iterator[Advice]:
    if not plan.misread:
        return
    some = "; ".join(f"{name}: {sentence!r}" for name, sentence in list(plan.misread.items())[:_NAMED])
    more = f"; and {len(plan.misread) - _NAMED:,} more" if len(plan.misread) > _NAMED else ""
    found = f"{_count(len(plan.misread), 'relation')} without templates, whose name may not read well ({some}{more})."
    yield Advice("templates", found, _WRITE_NAMES)


def _templates(plan: Plan) -> Iterator[Advice]:
    few = {name: count for name, count in plan.templates.items() if count < study.ENOUGH_TEMPLATES}
    if not few:
        return
    infusion = plan.config.infusion
    known = ", ".join(f"{retention} with {count}" for count, retention in study.BY_TEMPLATES)
    why = f"Held-out retention in the study of 500 facts near 100 exposures: {known}; chance 0.25."
    if infusion.rendering.name == "triples" or infusion.templates_used in few.values():
        keys = {"triples": "infusion.rendering"}
        key = keys.get(infusion.rendering.name) or (
            "infusion.template_order" if infusion.template_order == "first" else "infusion.max_templates"
        )
        most = max(few.values())
        yield Advice(key, f"a fact is trained on in {_count(most, 'template')} at most. {why}", _USE_MORE)
        return
    names = [f"{name}: {count}" for name, count in list(few.items())[:_NAMED]]
    more = f", and {len(few) - _NAMED:,} more" if len(few) > _NAMED else ""
    found = f"{_count(len(few), 'relation')} with fewer than {study.ENOUGH_TEMPLATES} training templates"
    yield Advice("templates", f"{found} ({', '.join(names)}{more}). {why}", _WRITE_MORE)


_WRITE_NAMES = (
    "Write statements for each into a file named under templates, or a label that reads as a noun, such as label: "
    "capital."
)
_USE_MORE = "Let facts be phrased in ten templates or more, better twenty."
_WRITE_MORE = (
    "Write 20 statements or more, better 40, for each relation into a file, of which half are held out, and name it "
    "under templates; kis init writes one to begin with."
)


def _exposures(plan: Plan) -> Iterator[Advice]:
    frequency = plan.frequency
    beyond = plan.params is not None and plan.params > 10 * study.LARGEST_STUDIED
    if frequency is None or frequency >= study.ENOUGH_EXPOSURES or beyond:
        return
    key = "infusion.frequency" if plan.config.infusion.frequency is not None else "infusion"
    many = f"{frequency:,.4g} exposures of each fact."
    if frequency < study.LEAST_EXPOSURES:
        found = (
            f"{many} No model of the recorded studies (0.1M to 2M parameters, from scratch) retained anything at fewer "
            f"than {study.LEAST_EXPOSURES}."
        )
    else:
        (low, high), (more_low, more_high) = study.NEAR_60, study.NEAR_122
        found = (
            f"{many} The models of the recorded studies (0.1M to 2M parameters, from scratch) ended at {low:.2f} to "
            f"{high:.2f} with 60 exposures, {more_low:.2f} to {more_high:.2f} with 122; chance is 0.25."
        )
    change = "Use 100 or more for models of that size."
    if plan.params is None:
        change += " Larger ones may need fewer: give --params."
    yield Advice(key, found, change)


def _share(plan: Plan) -> Iterator[Advice]:
    share = plan.share
    if share is None or share <= study.MOST_SHARE:
        return
    infusion = plan.config.infusion
    key = next(name for name in ("share", "tokens", "frequency") if getattr(infusion, name) is not None)
    about = "" if infusion.share is not None else "about "
    found = (
        f"{about}{share:.0%} of the tokens are facts, which leaves little general text. Sizes of the study of 200 "
        f"facts collapsed from {study.MOST_SHARE + 0.01:.2f} on."
    )
    change = "Infuse less, train on more tokens, or infuse fewer facts."
    if min(plan.templates.values(), default=study.MANY_TEMPLATES) < study.MANY_TEMPLATES:
        known = ", ".join(f"{retention} with {count}" for count, retention in study.AT_HIGH_SHARE)
        found += (
            " Retention depends on the templates there: 474,320 parameters at a share of 0.7 ended at "
            f"{known} training templates; chance 0.25."
        )
        change += f" Or write {2 * study.MANY_TEMPLATES} statements a relation, of which half are held out."
    yield Advice(f"infusion.{key}", found, change)


def _capacity(plan: Plan) -> Iterator[Advice]:
    if plan.params is None:
        return
    many = plan.frequency is None or plan.frequency >= _MANY
    each = BITS_PER_PARAMETER if many else BITS_PER_PARAMETER_AT_100
    capacity = each * plan.params
    if plan.bits <= capacity:
        return
    exposures = "1,000 exposures or more" if many else "100 exposures"
    found = (
        f"the infused facts have {short(round(plan.bits))} bits; a model of {short(plan.params)} parameters stores "
        f"about {short(round(capacity))} ({each:g} a parameter after {exposures}, arXiv 2404.05405)."
    )
    yield Advice("knowledge", found, f"Take a model of {short(round(plan.bits / each))} parameters, or fewer facts.")


def _cost(plan: Plan) -> Iterator[Advice]:
    retention = plan.config.retention
    if plan.tokens is None or retention.max_cost is not None or not plan.questions:
        return
    characters = sum(len(question.prefix) + sum(map(len, question.options)) for question in plan.questions)
    # Options share their prefix, so each is computed once; base text and answers alike cost one forward pass a token.
    once = characters / _CHARACTERS
    if isinstance(retention.every, int):
        return  # in steps, of which the number is not known here
    evaluations = round(1 / retention.every) + 1
    cost = evaluations * once / (_PASSES * plan.tokens)
    if cost <= study.MOST_COST:
        return
    found = (
        f"{evaluations} evaluations of {len(plan.questions):,} questions take about {cost:.0%} of the training time."
    )
    yield Advice("retention", found, "Set retention.max_cost: 0.02, evaluate less often, or probe fewer facts.")


def _probes(plan: Plan) -> Iterator[Advice]:
    probes, wide = plan.config.retention.probes, []
    main = probes.kinds[0]
    probed = {
        series: len({question.fact for question in plan.questions if question.series == series})
        for series in (main, CONTROL)
    }
    for series, facts in probed.items():
        if facts and (half := _half_width(facts)) > study.HALF_WIDTH:
            wide.append((series, facts, half))
    if not wide:
        return
    found = ", ".join(f"{_count(facts, 'fact')} of {series} (±{half:.2f})" for series, facts, half in wide)
    key = "retention.probes.facts" if wide[0][0] != CONTROL else "retention.control"
    limited = wide[0][0] != CONTROL and probes.facts < plan.infused
    raise_it = f"Raise retention.probes.facts from {probes.facts:,}." if limited else _PROBE_MORE
    found = f"95 % intervals will be too wide to tell small differences: {found}."
    if probed[main] and probed[CONTROL] and (least := least_above(probed[main], probed[CONTROL], 1 / probes.options)):
        found += f" {main} must end at about {least:.2f} to lie above controls that are at chance."
    yield Advice(key, found, raise_it)


_PROBE_MORE = "More facts narrow them; retention.probes.templates_per_fact and several seeds help as well."


def _half_width(facts: int) -> float:
    """Return half of the widest 95 % interval of an accuracy over independent questions, at 0.5 (Wilson 1927)."""
    z = 1.96
    return z / (1 + z * z / facts) * sqrt(0.25 / facts + z * z / (4 * facts * facts))


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
