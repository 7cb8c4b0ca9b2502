"""The questions of a run asked of a saved model, outside of training: the work of ``kis probe``."""

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
from kis_plugin.retention.prior_knowledge import known_in
from kis_plugin.retention.probes import Question
from kis_plugin.retention.question_builder import HELD_OUT, SEEN, QuestionBuilder
from kis_plugin.retention.results import Outcomes, record_of, series_records
from kis_plugin.run.log import Retention
from kis_plugin.tokenized.infusion_split import InfusionSplit, load_split

if TYPE_CHECKING:
    from kis_plugin.run.saved_model import LoadedModel

__all__ = ["ProbeReport", "Prober", "answer_lines", "prober_of_config", "prober_of_knowledge", "report_of"]

_OF_RUN = ("type", "step", "tokens", "seconds")  # what a record says of its run


@dataclass(frozen=True)
class Prober:
    """What is asked of a saved model.

    Attributes:
        config: What to ask.
        material: The knowledge.
        questions: All of them.
        notes: What the user should know of, one line each; takes more when the questions are tokenized.
        remarks: Takes how they were asked, one line each.
    """

    config: Config
    material: InfusionSplit
    questions: Sequence[Question]
    notes: list[str]
    remarks: list[str] = field(default_factory=list)

    def ask(self, model: LoadedModel, watch: Callable[[float], None]) -> Outcomes:
        """Ask them.

        Args:
            model: Put into evaluation mode meanwhile.
            watch: Told time and again which part of the work is done.

        Raises:
            KISError: No question fits into what the model sees at once.
        """
        from kis_plugin.retention.evaluator import Evaluator

        batch_tokens = self.config.retention.batch_tokens
        asked = Evaluator(self.questions, model.tokenizer, model.sequence_length, self.notes, batch_tokens)
        if not asked.questions:
            found = "no sentence that the model can take" if self.questions else "nothing to ask"
            expected = f"questions of at most {model.sequence_length} tokens"
            raise KISError(Problem(str(self.config.knowledge), found, expected, " ".join(self.notes)))
        outcomes = asked.answer(model.view, watch=watch)
        self.remarks.extend(asked.remarks)
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
        warnings: What one should know, one line each.
        about: The model's loader, device and dtype, and the versions.
        seconds: Wall time of asking.
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
        run: Its folder, which holds what ``skip_known`` found; needed with that alone.

    Raises:
        KISError: Bad knowledge; nothing can be asked; or ``skip_known`` without what it found.
    """
    material, notes = _material(config)
    told, known = material.infused, material.infused[:0]
    if config.infusion.skip_known:
        mask = None if run is None else known_in(run, len(told))
        if mask is None:
            found = "no folder of the run" if run is None else f"{run}: no file of what these facts' run found known"
            hint = "Which facts were told was settled before the first step, and is kept beside the run log."
            raise KISError(Problem("--run", found, "the run's folder: the configuration has skip_known", hint))
        told, known = told[~mask], told[mask]
    left = [
        f"retention.{key}" for key in ("general_text", "corpus_counts") if getattr(config.retention, key) is not None
    ]
    if left:
        notes.append(f"{' and '.join(left)}: a run measures by it, kis probe does not")
    questions = QuestionBuilder(config, material, told, known).questions(1.0, notes)
    return Prober(config, material, questions, notes)


def prober_of_knowledge(
    knowledge: Path, probes: Sequence[str] = (HELD_OUT, SEEN), facts: int | None = None, **keys: Any
) -> Prober:
    """Make questions about any knowledge: nothing is kept back as a control.

    Args:
        knowledge: A file or folder.
        probes: The kinds of probe, these and no others.
        facts: Ask so many at most; None for all.
        keys: Of ``kis.yaml``: ``templates`` and ``seed`` from the top, ``options`` of ``retention.probes``, and keys
            of ``retention``. None leaves one out.

    Raises:
        KISError: A key that is wrong, bad knowledge, or nothing can be asked.
    """
    given = {name: value for name, value in keys.items() if value is not None}
    top: dict[str, Any] = {name: given.pop(name) for name in ("templates", "seed") if name in given}
    asked: dict[str, Any] = {"kinds": list(probes), "facts": facts or 1}
    if "options" in given:
        asked["options"] = given.pop("options")
    retention = {"control": 0, "probes": asked, **given}
    config = config_from({"knowledge": knowledge, **top, "retention": retention}, "kis probe")
    material, notes = _material(config)
    if facts is None:
        everything = replace(config.retention.probes, facts=max(len(material.knowledge), 1))
        config = replace(config, retention=replace(config.retention, probes=everything))
    asker = QuestionBuilder(config, material, material.infused, material.infused[:0], in_run=False)
    return Prober(config, material, asker.questions(1.0, notes), notes)


def report_of(name: str, model: LoadedModel, prober: Prober, outcomes: Outcomes) -> ProbeReport:
    """Return the figures."""
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
    """Yield what was asked and answered, question by question, as JSON values."""
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


def _material(config: Config) -> tuple[InfusionSplit, list[str]]:
    """Read the knowledge, and return with it what its source warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        material = load_split(config)
    return material, [str(warning.message) for warning in caught]


def _of_relations(outcomes: Outcomes) -> Iterator[dict[str, Any]]:
    for series, rows in outcomes.series.items():
        names = np.array([outcomes.questions[row].relation for row in rows.tolist()])
        for relation in dict.fromkeys(names.tolist()):
            some = rows[names == relation]
            figures = _figures(record_of(0, 0, series, outcomes, some))
            yield {"probe": series, "relation": relation, **figures}


def _figures(record: Retention) -> dict[str, Any]:
    """Return what a record says of its series."""
    values = asdict(record)
    values |= values.pop("extra")
    return {key: value for key, value in values.items() if key not in _OF_RUN}


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
