"""Background facts: what the base data teaches and the run may forget, evaluated beside what is infused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray, mix
from kis_plugin.knowledge.fact_codes import MANY, coded, sample
from kis_plugin.knowledge.facts import Fact
from kis_plugin.knowledge.store.load import load_knowledge
from kis_plugin.retention.questions.distractors import OptionSet, OptionSets, option_sets
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.retention.series import BACKGROUND
from kis_plugin.storage.artifact_cache import cache_folder
from kis_plugin.storage.unicode_forms import folded
from kis_plugin.templates.book import TemplateBook
from kis_plugin.templates.load import load_templates
from kis_plugin.tokenized.infusion_split import InfusionSplit, entries_at

__all__ = ["Background", "load_background"]

_OVERSAMPLING = 8  # times as many facts are considered as are probed, where there are many

Triple = tuple[str, str, str]


@dataclass(frozen=True)
class Background:
    """The facts of ``retention.background``.

    Attributes:
        facts: All of them.
        sets: Those to probe; none of them is infused.
        book: Their templates.
        infused: How many of those considered are left out because they are infused too.
        seed: Of the questions.
        templates_per_fact: In how many templates each fact is probed.
    """

    facts: Sequence[Fact]
    sets: OptionSets
    book: TemplateBook
    infused: int
    seed: int
    templates_per_fact: int = 1

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """The questions of the series, by any statement of a relation: KIS trains on none of them."""
        per_fact = self.templates_per_fact
        maker = QuestionMaker(self.facts, self.sets.sets, self.book.of, self.seed, templates_per_fact=per_fact)
        questions = maker.for_objects(BACKGROUND, lambda templates: templates.statements)
        return tuple(replace(question, source=BACKGROUND) for question in questions)


def load_background(config: Config, split: InfusionSplit) -> Background | None:
    """Read the background facts and choose those to probe; None if the configuration names none.

    Args:
        config: Where they are, how many are probed, and with how many options.
        split: What the run infuses. What it states of the same subjects is never a wrong option.

    Raises:
        KISError: Anything wrong with the files or their templates, or no facts in them.
    """
    if config.retention.background is None:
        return None
    knowledge = load_knowledge(config.retention.background, cache_folder(config.cache)).knowledge
    facts = knowledge.facts
    if not len(facts):
        where = f"{config.path or 'config'} retention.background"
        raise KISError(Problem(where, f"no facts in {config.retention.background}", "facts as triples"))
    book = load_templates(config.templates, knowledge)
    probes, seed = config.retention.probes, config.seed
    among = np.arange(len(facts), dtype=np.int64)
    if len(facts) > MANY:
        among = sample(len(facts), _OVERSAMPLING * probes.facts, seed, 10)
    codes = coded(facts)
    places = np.flatnonzero(codes.mask(codes.subject[among])[codes.subject])  # all facts about the same subjects
    near = list(entries_at(facts, places))
    of_run, infused = _facts_of_run(near, split)
    kept = [place for place in np.searchsorted(places, among).tolist() if _triple(near[place]) not in infused]
    chosen = np.array(kept, dtype=np.int64)
    # The run's own facts about these subjects take part, so that none of their objects becomes a wrong option.
    found = option_sets([*near, *of_run], chosen, probes.options, probes.facts, mix(seed, 10))
    sets = tuple(OptionSet(one.relation, tuple(places[list(one.facts)].tolist())) for one in found.sets)
    infused_too = len(among) - len(kept)
    return Background(facts, OptionSets(sets, found.left_out), book, infused_too, seed, probes.templates_per_fact)


def _facts_of_run(near: Sequence[Fact], split: InfusionSplit) -> tuple[list[Fact], set[Triple]]:
    """Return the run's own facts about the same subjects and relations, and which triples of them are infused."""
    slots = {(fact.relation, folded(fact.subject)) for fact in near}
    relations = {fact.relation for fact in near}
    codes = coded(split.knowledge.facts)
    shared = [number for number, relation in enumerate(codes.relations) if relation in relations]
    places: IntArray = np.flatnonzero(np.isin(codes.relation, shared))
    is_infused = np.isin(places, split.infused, assume_unique=True)
    of_run: list[Fact] = []
    infused: set[Triple] = set()
    for fact, infuses in zip(entries_at(split.knowledge.facts, places), is_infused.tolist(), strict=True):
        if (fact.relation, folded(fact.subject)) in slots:
            of_run.append(fact)
            infused |= {_triple(fact)} if infuses else set()
    return of_run, infused


def _triple(fact: Fact) -> Triple:
    return folded(fact.subject), fact.relation, folded(fact.object)
