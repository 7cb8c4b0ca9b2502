"""The scorer of multiple-choice questions, as it is registered; torch is imported when questions are prepared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kis_plugin.retention.protocols import PreparedScorer
from kis_plugin.retention.questions.baselines import mean_baseline
from kis_plugin.retention.questions.question import OPTIONS, Question
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["OptionScoring"]


@dataclass
class OptionScoring:
    """The option with the highest log-probability is the model's answer."""

    name: str = OPTIONS

    def prepare(
        self, questions: Sequence[Question], tokenizer: TextTokenizer, sequence_length: int, batch_tokens: int
    ) -> PreparedScorer:
        """Tokenize questions."""
        from kis_plugin.retention.scoring.prepare import prepare
        from kis_plugin.retention.scoring.scorer import Scorer

        return Scorer(prepare(questions, tokenizer), batch_tokens, sequence_length)

    def frequency_baseline(self, questions: Sequence[Question]) -> float | None:
        """Return the share of questions whose right option is the most frequent one; None where that is not known."""
        return mean_baseline(questions)
