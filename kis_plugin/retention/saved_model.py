"""Evaluates a saved model outside of training: the work of ``kis probe``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kis_plugin.config.load import config_from
from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.retention.prior_knowledge_file import known_in
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.questions.question_builder import QuestionBuilder
from kis_plugin.retention.results import Outcomes, record_of, series_records
from kis_plugin.retention.series import HELD_OUT, SEEN
from kis_plugin.run.log import LOG_NAME, Retention, read_course
from kis_plugin.tokenized.infusion_split import InfusionSplit, load_split

if TYPE_CHECKING:
    from kis_plugin.run.saved_model import LoadedModel

__all__ = ["ProbeReport", "Prober", "answer_lines", "prober_of_config", "prober_of_knowledge", "report_of"]

_OF_RUN = ("type", "step", "tokens", "seconds")  # fields of a record about its run


@dataclass(frozen=True)
class Prober:
    """The questions for a saved model.

    Attributes:
        config: What to probe.
        split: The knowledge.
        questions: All of them.
        notes: What the user should know, one line each; receives more when the questions are tokenized.
        remarks: Receives how they were evaluated, one line each.
    """

    config: Config
    split: InfusionSplit
    questions: Sequence[Question]
    notes: list[str]
    remarks: list[str] = field(default_factory=list)

    def evaluate(self, model: LoadedModel, progress: Callable[[float], None]) -> Outcomes:
        """Evaluate them.

        Args:
            model: Put into evaluation mode meanwhile.
            progress: Called repeatedly with the fraction of the work that is done.

        Raises:
            KISError: No question fits into what the model sees at once, or the model gives NaN or infinite logits.
        """
        from kis_plugin.retention.evaluator import Evaluator

        batch_tokens = self.config.retention.batch_tokens
        evaluator = Evaluator(self.questions, model.tokenizer, model.sequence_length, self.notes, batch_tokens)
        if not evaluator.questions:
            found = "no sentence that fits the model" if self.questions else "no questions"
            expected = f"questions of at most {model.sequence_length} tokens"
            raise KISError(Problem(str(self.config.knowledge), found, expected, " ".join(self.notes)))
        outcomes = evaluator.answer(model.view, watch=progress)
        self.remarks.extend(evaluator.remarks)
        if outcomes.diverged:
            assert outcomes.finite is not None
            found = (
                f"logits that are NaN or infinite for {(~outcomes.finite).sum()} of {len(outcomes.finite)} questions"
            )
            hint = "Weights of a diverged run, or a dtype too narrow for the model: try --dtype float32."
            raise KISError(Problem("model", found, "finite logits", hint))
        return outcomes


@dataclass(frozen=True)
class ProbeReport:
    """What ``kis probe`` found.

    Attributes:
        model: As it was named.
        params: All parameters, tied ones once.
        knowledge: The file or folder.
        series: The figures of each series, as a run log has them.
        relations: The same for each relation of each series.
        warnings: What the user should know, one line each.
        about: The model's loader, device and dtype, and the versions.
        seconds: Wall time of the evaluation.
    """

    model: str
    params: int
    params_non_embedding: int
    knowledge: str
    series: tuple[Mapping[str, Any], ...]
    relations: tuple[Mapping[str, Any], ...]
    warnings: tuple[str, ...]
    about: Mapping[str, str]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"status": "ok", **asdict(self)}


def prober_of_config(config: Config, run: Path | None = None) -> Prober:
    """Make the questions of a run's last evaluation.

    Args:
        config: The run's.
        run: Its folder, which holds what ``skip_known`` found and what ``begin: auto`` became; needed only with those.

    Raises:
        KISError: Bad knowledge; no question can be made; or ``skip_known`` without what it found.
    """
    if config.begin == "auto" and run is not None:
        decided = read_course(run / LOG_NAME).run.extra.get("begin")
        config = replace(config, begin=decided) if decided in ("eos", "bos") else config
    split, notes = _loaded(config)
    infused, known = split.infused, split.infused[:0]
    if config.infusion.skip_known:
        mask = None if run is None else known_in(run, len(infused))
        if mask is None:
            found = "no folder of the run" if run is None else f"{run}: no known.npz of these facts"
            hint = "Which facts are infused was decided before the first step, and is kept beside the run log."
            raise KISError(Problem("--run", found, "the run's folder: the configuration has skip_known", hint))
        infused, known = infused[~mask], infused[mask]
    left = [
        f"retention.{key}" for key in ("general_text", "corpus_counts") if getattr(config.retention, key) is not None
    ]
    if left:
        notes.append(f"{' and '.join(left)}: evaluated in a run, not by kis probe")
    questions = QuestionBuilder(config, split, infused, known).questions(1.0, notes)
    return Prober(config, split, questions, notes)


def prober_of_knowledge(
    knowledge: Path, probes: Sequence[str] = (HELD_OUT, SEEN), facts: int | None = None, **keys: Any
) -> Prober:
    """Make questions about any knowledge, without controls.

    Args:
        knowledge: A file or folder.
        probes: The probe kinds, these and no others.
        facts: The most facts to probe; None for all.
        keys: Of ``kis.yaml``: ``templates`` and ``seed`` from the top, ``options`` of ``retention.probes``, and keys
            of ``retention``. None leaves one out.

    Raises:
        KISError: A key that is wrong, bad knowledge, or no question can be made.
    """
    given = {name: value for name, value in keys.items() if value is not None}
    top: dict[str, Any] = {name: given.pop(name) for name in ("templates", "seed") if name in given}
    wanted: dict[str, Any] = {"kinds": list(probes), "facts": facts or 1}
    if "options" in given:
        wanted["options"] = given.pop("options")
    retention = {"control": 0, "probes": wanted, **given}
    config = config_from({"knowledge": knowledge, **top, "retention": retention}, "kis probe")
    split, notes = _loaded(config)
    if facts is None:
        everything = replace(config.retention.probes, facts=max(len(split.knowledge), 1))
        config = replace(config, retention=replace(config.retention, probes=everything))
    builder = QuestionBuilder(config, split, split.infused, split.infused[:0], in_run=False)
    return Prober(config, split, builder.questions(1.0, notes), notes)


def report_of(name: str, model: LoadedModel, prober: Prober, outcomes: Outcomes) -> ProbeReport:
    """Return the figures of an evaluation."""
    return ProbeReport(
        model=name,
        params=model.params,
        params_non_embedding=model.params_non_embedding,
        knowledge=str(prober.config.knowledge),
        series=tuple(_figures(record) for record in series_records(0, 0, outcomes)),
        relations=tuple(_of_relations(outcomes)),
        warnings=tuple(note.removeprefix("warning: ") for note in prober.notes),
        about=model.about,
        seconds=outcomes.seconds,
    )


def answer_lines(outcomes: Outcomes) -> Iterator[dict[str, Any]]:
    """Yield every question with its answer, as JSON values."""
    for place, question in enumerate(outcomes.questions):
        yield {
            "series": question.series,
            "relation": question.relation,
            "prefix": question.prefix,
            "right": question.options[question.answer],
            "options": len(question.options),
            "correct": bool(outcomes.correct[place]),
            "margin": _finite(outcomes.margin[place]),
            "bits_per_byte": _finite(outcomes.bits_per_byte[place]),
        }


def _loaded(config: Config) -> tuple[InfusionSplit, list[str]]:
    """Read the knowledge, and return it with the warnings of its source."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        split = load_split(config)
    return split, [str(warning.message) for warning in caught]


def _of_relations(outcomes: Outcomes) -> Iterator[dict[str, Any]]:
    for series, rows in outcomes.series.items():
        names = np.array([outcomes.questions[row].relation for row in rows.tolist()])
        for relation in dict.fromkeys(names.tolist()):
            some = rows[names == relation]
            figures = _figures(record_of(0, 0, series, outcomes, some))
            yield {"probe": series, "relation": relation, **figures}


def _figures(record: Retention) -> dict[str, Any]:
    """Return the fields of a record about its series."""
    values = asdict(record)
    values |= values.pop("extra")
    return {key: value for key, value in values.items() if key not in _OF_RUN}


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
