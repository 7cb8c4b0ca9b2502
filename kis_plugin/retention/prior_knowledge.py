"""What the model knows before the first step: facts that need not be told again (``infusion.skip_known``).

A fact is known when, in *every* statement of its relation, trained and held-out, its object wins strictly against
each other of its option set, and by more than the model likes it better for other subjects. The second keeps away what
needs no knowledge: a model that likes one object best in every wording is right about one fact of each set, every
time, however many wordings are asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray, mix
from kis_plugin.knowledge.fact_codes import MANY
from kis_plugin.knowledge.facts import Fact
from kis_plugin.retention.distractors import OptionSet, option_sets
from kis_plugin.retention.probes import Question, QuestionMaker
from kis_plugin.run.context import TrainingRun
from kis_plugin.storage.atomic_write import write_atomically
from kis_plugin.tokenized.infusion_split import InfusionSplit

__all__ = ["BoolArray", "decide_known", "keep_known", "known_facts", "known_in", "known_state", "saved_known"]

BoolArray = npt.NDArray[np.bool_]

FILE_NAME = "known.npz"
_SETS = 1024  # option sets that are asked together
_SEED = 41
_ROUNDING = 1e-3  # nats; sums of log-probabilities agree no better


def decide_known(run: TrainingRun, material: InfusionSplit, resumed: Mapping[str, Any] | None) -> BoolArray | None:
    """Ask before the first step; at a resume read what was found then. Every rank calls it, all get the same.

    What was found has to be kept with ``keep_known`` when the run is sure to begin.

    Args:
        run: The run, its model ready to be asked.
        material: Whose ``infused`` facts are asked.
        resumed: The state of the checkpoint, None at the beginning.

    Returns:
        (infused facts,) True where the model knows the fact; None without ``infusion.skip_known``.

    Raises:
        KISError: A resume that does not find what the first part found.
    """
    before = None if resumed is None else resumed.get("known")
    if not run.config.infusion.skip_known:
        if before is not None and run.config.on_mismatch == "error":
            raise KISError(_not_as_before(run, "false", "true"))
        return None
    if resumed is None:
        mask = known_facts(run, material, material.infused)
        if run.rank == 0:
            share = f"{mask.mean():.1%}" if len(mask) else "none"
            run.notify(f"kis: the model knows {mask.sum():,} of {len(mask):,} facts before the first step ({share}).")
        return mask
    if before is None:
        raise KISError(_not_as_before(run, "true", "false"))
    kept = saved_known(run, len(material.infused))
    if kept is None or known_state(kept)["known"] != before:
        found = "no file of these facts" if kept is None else "another one"
        hint = (
            "It says which facts the model knew before the first step, and cannot be found out any more. Put the file "
            "back as the first part of the run left it, or load the checkpoint's weights into a new run."
        )
        where = f"resume at step {run.start_step}: {run.folder / FILE_NAME}"
        raise KISError(Problem(where, found, f"the one of {before['known']:,} known facts", hint))
    return kept


def known_state(mask: BoolArray | None) -> dict[str, Any]:
    """Return what a checkpoint keeps of the decision."""
    if mask is None:
        return {}
    digest = hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:16]
    return {"known": {"hash": digest, "known": int(mask.sum()), "facts": len(mask)}}


def saved_known(run: TrainingRun, facts: int) -> BoolArray | None:
    """Return what ``keep_known`` kept, (facts,), as rank 0 finds it; None if it is not there. Every rank calls it."""
    found = np.zeros(facts + 1, dtype=np.int64)  # the first says that there is one
    path = run.folder / FILE_NAME
    if run.rank == 0 and path.is_file():
        found[:] = _load(path, facts)
    found = run.ranks.sum(found)
    mask: BoolArray = found[1:] > 0
    return mask if found[0] else None


def known_facts(run: TrainingRun, material: InfusionSplit, indices: IntArray) -> BoolArray:
    """Ask about facts, all ranks alike; rank 0's answers count.

    A model that knows nothing and whose wordings tell nothing of each other is found to know at most
    ``(1 / options) ** statements`` of them; docs/how-to/select-facts.md has what was measured. Facts of which no option
    set can be formed, or whose sentences are longer than a row, count as unknown.

    Args:
        run: Its model is asked.
        material: The knowledge and the templates.
        indices: Places in the knowledge's facts.

    Returns:
        (indices,) True where the model knows the fact.
    """
    facts = material.knowledge.facts
    mask = np.zeros(len(indices), dtype=np.bool_)
    with run.model.evaluating():
        for start in range(0, len(indices), MANY):
            places = indices[start : start + MANY]
            told = [facts[index] for index in places.tolist()]
            sets = option_sets(
                told, np.arange(len(told)), run.config.retention.probes.options, len(told), mix(run.config.seed, _SEED)
            ).sets
            for first in range(0, len(sets), _SETS):
                known = _known_of(run, material, told, sets[first : first + _SETS])
                mask[start + known] = True
    return mask


def _known_of(run: TrainingRun, material: InfusionSplit, facts: Sequence[Fact], sets: Sequence[OptionSet]) -> IntArray:
    """Return which facts of some option sets are known, statement by statement: a set with none left is not asked on.

    What is asked next depends on the answers, and ranks that share a model must ask alike: rank 0's are taken.
    """
    left = {index for chosen in sets for index in chosen.facts}
    for statement in range(max(len(material.book.of(chosen.relation).statements) for chosen in sets)):
        asked = [
            chosen
            for chosen in sets
            if statement < len(material.book.of(chosen.relation).statements) and left.intersection(chosen.facts)
        ]
        if not asked:
            continue
        answers = _ask(run, material, facts, asked, statement)
        mine = answers.astype(np.int64) if run.rank == 0 else np.zeros(len(answers), dtype=np.int64)
        agreed = run.ranks.sum(mine)
        order = [index for chosen in asked for index in chosen.facts]
        left -= {index for index, right in zip(order, agreed.tolist(), strict=True) if not right}
    return np.array(sorted(left), dtype=np.int64)


def _ask(
    run: TrainingRun, material: InfusionSplit, facts: Sequence[Fact], sets: Sequence[OptionSet], statement: int
) -> BoolArray:
    """Return whether each fact of the sets is answered right, in both ways: (facts of the sets,)."""
    from kis_plugin.retention.scoring.scorer import prepare

    maker = QuestionMaker(facts, sets, material.book.of, run.config.seed)
    questions = list(_questions(maker, statement))
    prepared = prepare(questions, run.tokenizer)
    fits = (prepared.lengths <= run.sequence_length).reshape(len(sets), -1).all(axis=1)  # (sets,)
    answers = np.zeros((len(sets), len(sets[0].facts)), dtype=np.bool_)
    if not fits.all():
        questions = [
            question for question, fit in zip(questions, np.repeat(fits, answers.shape[1]), strict=True) if fit
        ]
        prepared = prepare(questions, run.tokenizer)
    if questions:
        logprobs = prepared.score(run.model, sequence_length=run.sequence_length).logprobs
        answers[fits] = _right(logprobs.reshape(-1, answers.shape[1], answers.shape[1]))
    return answers.reshape(-1)


def _questions(maker: QuestionMaker, statement: int) -> Iterator[Question]:
    for chosen in maker.sets:
        yield from maker.ask_set("known", chosen, maker.templates_of(chosen.relation).statements[statement])


def _right(logprobs: npt.NDArray[np.float64]) -> BoolArray:
    """Return which facts win: (sets, k, k) -> (sets, k). Option ``i`` of a set is the object of its fact ``i``.

    How much better the model likes object ``i`` than ``j`` for no reason of the subject shows in its answers for the
    set's other subjects, those two left out: they may know theirs, which says nothing of what others like.
    """
    size = logprobs.shape[1]
    odds = logprobs[:, :, :, None] - logprobs[:, :, None, :]  # (sets, subject, i, j) of object i against j
    same = np.eye(size, dtype=np.bool_)
    others = ~(same[:, :, None] | same[:, None, :]) if size > 2 else ~same[:, :, None] & np.ones(size, dtype=np.bool_)
    liking = np.einsum("srij,rij->sij", odds, others / others.sum(axis=0).clip(1))
    won = odds[:, np.arange(size), np.arange(size), :]  # (sets, i, j) for the subject of i
    wins: BoolArray = (((won > 0) & (won > liking + _ROUNDING)) | same).all(axis=2)
    return wins


def keep_known(folder: Path, mask: BoolArray) -> None:
    """Write ``known.npz`` into the run's folder, whole or not at all. Rank 0 only."""
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Any] = {"facts": np.int64(len(mask)), "known": np.packbits(mask)}
    write_atomically(folder / FILE_NAME, lambda file: np.savez(file, **columns))


def known_in(folder: Path, facts: int) -> BoolArray | None:
    """Return what ``keep_known`` kept in a run's folder, (facts,); None if there is none of so many facts."""
    found = _load(folder / FILE_NAME, facts)
    mask: BoolArray = found[1:] > 0
    return mask if found[0] else None


def _load(path: Path, facts: int) -> IntArray:
    """Return 1 and the mask, (1 + facts,); zeros for a file that is of other facts or none of ours."""
    nothing = np.zeros(facts + 1, dtype=np.int64)
    try:
        with np.load(path, allow_pickle=False) as file:
            if int(file["facts"]) != facts:
                return nothing
            return np.concatenate([[1], np.unpackbits(file["known"], count=facts)]).astype(np.int64)
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        BadZipFile,
    ):  # the caller says that it is another file than it should be
        return nothing


def _not_as_before(run: TrainingRun, found: str, expected: str) -> Problem:
    hint = "Which facts are told was settled at the first step."
    return Problem(f"resume at step {run.start_step}: infusion.skip_known", found, f"{expected} as before", hint)
