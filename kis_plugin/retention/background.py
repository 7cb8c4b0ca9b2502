"""Background facts: what the base data teaches and the run may forget, asked beside what is infused."""

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
from kis_plugin.retention.distractors import OptionSet, OptionSets, option_sets
from kis_plugin.retention.probes import Question, QuestionMaker
from kis_plugin.storage.artifact_cache import cache_folder
from kis_plugin.templates.book import TemplateBook
from kis_plugin.templates.load import load_templates
from kis_plugin.tokenized.infusion_split import InfusionSplit, entries_at

__all__ = ["BACKGROUND", "Background", "load_background"]

BACKGROUND = "background"

_SPARE = 8  # times as many facts are looked at as may be asked, where there are many

Triple = tuple[str, str, str]


@dataclass(frozen=True)
class Background:
    """The facts of ``retention.background``.

    Attributes:
        facts: All of them.
        sets: Those to ask; none of them is infused.
        book: Their sentences.
        infused: How many of those looked at are left out because they are infused too.
        seed: Of the questions.
        wordings: In how many sentences each fact is asked.
    """

    facts: Sequence[Fact]
    sets: OptionSets
    book: TemplateBook
    infused: int
    seed: int
    wordings: int = 1

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """The questions of the series, by any of a relation's statements: none was trained on for them."""
        maker = QuestionMaker(self.facts, self.sets.sets, self.book.of, self.seed, wordings=self.wordings)
        asked = maker.ask(BACKGROUND, lambda templates: templates.statements)
        return tuple(replace(question, source=BACKGROUND) for question in asked)


def load_background(config: Config, material: InfusionSplit) -> Background | None:
    """Read the background facts and choose those to ask; None if the configuration names none.

    Args:
        config: Where they are, how many are asked, and of how many options.
        material: What the run infuses. What it says of the same subjects makes no wrong option.

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
        among = sample(len(facts), _SPARE * probes.facts, seed, 10)
    codes = coded(facts)
    places = np.flatnonzero(codes.mask(codes.subject[among])[codes.subject])  # all that is known of their subjects
    near = list(entries_at(facts, places))
    told, infused = _told_of(near, material)
    asked = [place for place in np.searchsorted(places, among).tolist() if _triple(near[place]) not in infused]
    chosen = np.array(asked, dtype=np.int64)
    found = option_sets([*near, *told], chosen, probes.options, probes.facts, mix(seed, 10))
    sets = tuple(OptionSet(one.relation, tuple(places[list(one.facts)].tolist())) for one in found.sets)
    infused_too = len(among) - len(asked)
    return Background(facts, OptionSets(sets, found.left_out), book, infused_too, seed, probes.templates_per_fact)


def _told_of(near: Sequence[Fact], material: InfusionSplit) -> tuple[list[Fact], set[Triple]]:
    """Return the run's own facts about the same subjects and relations, and which triples of them are infused."""
    slots = {(fact.relation, fact.subject.casefold()) for fact in near}
    relations = {fact.relation for fact in near}
    codes = coded(material.knowledge.facts)
    shared = [number for number, relation in enumerate(codes.relations) if relation in relations]
    places: IntArray = np.flatnonzero(np.isin(codes.relation, shared))
    is_infused = np.isin(places, material.infused, assume_unique=True)
    told: list[Fact] = []
    infused: set[Triple] = set()
    for fact, infuses in zip(entries_at(material.knowledge.facts, places), is_infused.tolist(), strict=True):
        if (fact.relation, fact.subject.casefold()) in slots:
            told.append(fact)
            infused |= {_triple(fact)} if infuses else set()
    return told, infused


def _triple(fact: Fact) -> Triple:
    return fact.subject.casefold(), fact.relation, fact.object.casefold()
