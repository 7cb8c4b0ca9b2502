"""What the model knows before the first step: facts that need not be infused (``infusion.skip_known``).

A fact counts as known when, in *every* statement template of its relation, trained and held-out, its object wins
strictly against each other object of its option set, and by more than the model prefers it for other subjects. The
second condition rules out what needs no knowledge: a model that prefers one object in every template is right about one
fact of each set, every time, however many templates are tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray, mix
from kis_plugin.knowledge.fact_codes import MANY
from kis_plugin.knowledge.facts import Fact
from kis_plugin.retention.prior_knowledge_file import FILE_NAME, BoolArray, known_state, saved_known
from kis_plugin.retention.questions.distractors import OptionSet, option_sets
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.run.context import TrainingRun
from kis_plugin.tokenized.document_start import probe_tokenizer
from kis_plugin.tokenized.infusion_split import InfusionSplit

__all__ = ["decide_known", "known_facts"]

_SETS = 1024  # option sets that are evaluated together
_SEED = 41
_ROUNDING = 1e-3  # nats; sums of log-probabilities agree no better


def decide_known(run: TrainingRun, split: InfusionSplit, resumed: Mapping[str, Any] | None) -> BoolArray | None:
    """Evaluate before the first step; at a resume read what was found then. Every rank calls it, all get the same.

    The result has to be written with ``keep_known`` once the run is sure to begin.

    Args:
        run: The run, its model ready to be evaluated.
        split: Whose ``infused`` facts are evaluated.
        resumed: The state of the checkpoint, None at the beginning.

    Returns:
        (infused facts,) True where the model knows the fact; None without ``infusion.skip_known``.

    Raises:
        KISError: A resume that does not find what the first part of the run found.
    """
    before = None if resumed is None else resumed.get("known")
    if not run.config.infusion.skip_known:
        if before is not None and run.config.on_mismatch == "error":
            raise KISError(_not_as_before(run, "false", "true"))
        return None
    if resumed is None:
        mask = known_facts(run, split, split.infused)
        if run.rank == 0:
            share = f"{mask.mean():.1%}" if len(mask) else "none"
            run.notify(f"kis: the model knows {mask.sum():,} of {len(mask):,} facts before the first step ({share}).")
        return mask
    if before is None:
        raise KISError(_not_as_before(run, "true", "false"))
    kept = saved_known(run, len(split.infused))
    if kept is None or known_state(kept)["known"] != before:
        found = "no file of these facts" if kept is None else "another one"
        hint = (
            "It lists the facts that the model knew before the first step, which cannot be determined any more. Put "
            "the file back as the first part of the run left it, or load the checkpoint's weights into a new run."
        )
        where = f"resume at step {run.start_step}: {run.folder / FILE_NAME}"
        raise KISError(Problem(where, found, f"the one of {before['known']:,} known facts", hint))
    return kept


def known_facts(run: TrainingRun, split: InfusionSplit, indices: IntArray) -> BoolArray:
    """Evaluate facts, all ranks alike; rank 0's answers count.

    Of a model that knows nothing, if its answers to different templates are independent, at most
    ``(1 / options) ** statements`` of the facts are found known; docs/how-to/select-facts.md gives measurements.
    Facts of which no option set can be formed, or whose sentences are longer than a row, count as unknown.

    Args:
        run: Its model is evaluated.
        split: The knowledge and the templates.
        indices: Of the facts, among all of the knowledge; sorted.

    Returns:
        (indices,) True where the model knows the fact.
    """
    facts = split.knowledge.facts
    mask = np.zeros(len(indices), dtype=np.bool_)
    options, seed = run.config.retention.probes.options, mix(run.config.seed, _SEED)
    with run.model.evaluating():
        for start in range(0, len(indices), MANY):
            places = indices[start : start + MANY]
            # Among all facts, so that what a control or another part says of a subject is no wrong option for it.
            sets = option_sets(facts, places, options, len(places), seed).sets
            for first in range(0, len(sets), _SETS):
                known = _known_of(run, split, facts, sets[first : first + _SETS])
                mask[start + np.searchsorted(places, known)] = True
    return mask


def _known_of(run: TrainingRun, split: InfusionSplit, facts: Sequence[Fact], sets: Sequence[OptionSet]) -> IntArray:
    """Return which facts of some option sets are known, going through their templates one after the other.

    A set without candidates left is dropped from later templates. What is evaluated next thus depends on the answers,
    and ranks that share a model must evaluate alike: rank 0's answers are taken.
    """
    candidates = {index for chosen in sets for index in chosen.facts}
    for statement in range(max(len(split.book.of(chosen.relation).statements) for chosen in sets)):
        remaining = [
            chosen
            for chosen in sets
            if statement < len(split.book.of(chosen.relation).statements) and candidates.intersection(chosen.facts)
        ]
        if not remaining:
            continue
        answers = _evaluate(run, split, facts, remaining, statement)
        mine = answers.astype(np.int64) if run.rank == 0 else np.zeros(len(answers), dtype=np.int64)
        agreed = run.ranks.sum(mine)
        order = [index for chosen in remaining for index in chosen.facts]
        candidates -= {index for index, right in zip(order, agreed.tolist(), strict=True) if not right}
    return np.array(sorted(candidates), dtype=np.int64)


def _evaluate(
    run: TrainingRun, split: InfusionSplit, facts: Sequence[Fact], sets: Sequence[OptionSet], statement: int
) -> BoolArray:
    """Return whether each fact of the sets meets both conditions in one template: (facts of the sets,)."""
    from kis_plugin.retention.scoring.prepare import prepare
    from kis_plugin.retention.scoring.scorer import Scorer

    maker = QuestionMaker(facts, sets, split.book.of, run.config.seed)
    questions = list(_questions(maker, statement))
    tokenizer = probe_tokenizer(run.config, run.tokenizer)
    prepared = prepare(questions, tokenizer)
    fits = (prepared.lengths <= run.sequence_length).reshape(len(sets), -1).all(axis=1)  # (sets,)
    answers = np.zeros((len(sets), len(sets[0].facts)), dtype=np.bool_)
    if not fits.all():
        per_question = np.repeat(fits, answers.shape[1])
        questions = [question for question, fit in zip(questions, per_question, strict=True) if fit]
        prepared = prepare(questions, tokenizer)
    if questions:
        logprobs = Scorer(prepared, sequence_length=run.sequence_length).score(run.model).logprobs
        answers[fits] = _wins(logprobs.reshape(-1, answers.shape[1], answers.shape[1]))
    return answers.reshape(-1)


def _questions(maker: QuestionMaker, statement: int) -> Iterator[Question]:
    for chosen in maker.sets:
        yield from maker.of_set("known", chosen, maker.templates_of(chosen.relation).statements[statement])


def _wins(logprobs: npt.NDArray[np.float64]) -> BoolArray:
    """Return which facts win: (sets, k, k) -> (sets, k). Option ``i`` of a set is the object of its fact ``i``.

    How much the model prefers object ``i`` to ``j`` regardless of the subject shows in its answers for the set's other
    subjects. Subjects ``i`` and ``j`` themselves are left out: the model may know their objects, which says nothing
    about its general preference.
    """
    size = logprobs.shape[1]
    odds = logprobs[:, :, :, None] - logprobs[:, :, None, :]  # (sets, subject, i, j) of object i against j
    same = np.eye(size, dtype=np.bool_)
    # (subject, i, j) subjects whose answers count. With two options no third subject is left, so j's own is taken.
    others = ~(same[:, :, None] | same[:, None, :]) if size > 2 else ~same[:, :, None] & np.ones(size, dtype=np.bool_)
    preference = np.einsum("srij,rij->sij", odds, others / others.sum(axis=0).clip(1))  # mean over those subjects
    own = odds[:, np.arange(size), np.arange(size), :]  # (sets, i, j) for the subject of i
    wins: BoolArray = (((own > 0) & (own > preference + _ROUNDING)) | same).all(axis=2)
    return wins


def _not_as_before(run: TrainingRun, found: str, expected: str) -> Problem:
    hint = "Which facts are infused was decided at the first step."
    return Problem(f"resume at step {run.start_step}: infusion.skip_known", found, f"{expected} as before", hint)
