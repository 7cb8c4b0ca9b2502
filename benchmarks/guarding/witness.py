"""What watches a run beside its guard: questions about other facts, loss on another text, all answers kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kis_plugin.hashing import mix
from kis_plugin.hook_markers import hookimpl
from kis_plugin.retention.general_loss import GeneralText
from kis_plugin.retention.questions.distractors import option_sets
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.retention.results import Outcomes
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.log import Loss, Record

__all__ = ["WITNESS", "Observer", "Recorder", "WitnessProbe"]

WITNESS = "witness"
"""The split of the loss on the other text, and the kind of probe whose series begin with it."""
_SEED = 71


class WitnessProbe:
    """Infused facts that nothing else probes, each by every held-out sentence and the first infused one."""

    name = WITNESS
    balanced = False  # it forms its own sets

    def questions(self, maker: QuestionMaker) -> Sequence[Question]:
        """Return the questions, in series ``witness/held_out`` and ``witness/seen``."""
        probed = [fact for one in maker.sets for fact in one.facts]
        others = np.setdiff1d(np.empty(0, dtype=np.int64) if maker.infused is None else maker.infused, probed)
        sets = option_sets(maker.facts, others, maker.options, len(others), mix(maker.seed, _SEED)).sets
        found = []
        for one in sets:
            templates = maker.templates_of(one.relation)
            sentences = {"held_out": templates.held_out, "seen": templates.statements[:1]}
            for series, some in sentences.items():
                found += [question for text in some for question in maker.of_set(f"{WITNESS}/{series}", one, text)]
        return found


class Recorder:
    """Keeps all answers and losses of one run, in the order in which its guard learns of them."""

    def __init__(self, run: TrainingRun) -> None:
        self.evaluations: list[tuple[int, Outcomes]] = []
        self.losses: list[Loss] = []
        self.verdicts: list[tuple[int, str]] = []
        self._text: GeneralText | None = None

    @hookimpl
    def kis_run_start(self, run: TrainingRun, resumed: Mapping[str, Any] | None) -> None:
        """Read the text that the guard does not watch."""
        path = run.config.retention.general_text
        assert path is not None
        self._text = GeneralText(path.with_stem(WITNESS), run.tokenizer, run.sequence_length)

    @hookimpl
    def kis_outcomes(self, run: TrainingRun, step: int, outcomes: Outcomes) -> None:
        """Keep what was answered, and what the other text costs then."""
        self.evaluations.append((step, outcomes))
        assert self._text is not None
        loss = self._text.loss(run, step)
        self.losses += [] if loss is None else [replace(loss, split=WITNESS)]

    @hookimpl
    def kis_metrics(self, records: Sequence[Record]) -> None:
        """Keep the losses that the guard receives, and its verdicts."""
        for record in records:
            if record.type == "loss":
                self.losses.append(record)
            elif record.type == "guard":
                self.verdicts.append((record.step, record.verdict))


class Observer:
    """Adds both to the runs of this process."""

    def __init__(self) -> None:
        self.latest: Recorder | None = None

    @hookimpl
    def kis_register_probes(self, register: Any) -> None:
        """Add the questions."""
        register(WitnessProbe())

    @hookimpl
    def kis_register_run_plugins(self, register: Any) -> None:
        """Add a recorder to every run, and know the latest."""
        register(self._recorder)

    def _recorder(self, run: TrainingRun) -> Recorder:
        self.latest = Recorder(run)
        return self.latest
