"""KIS: questions prepared once, then scored. The context is EOS and the sentence's beginning, as in infused rows."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.scorers.contract import Contender, Item, Scored, serve


def kis_scores(model: Any, tokenizer: Any, questions: Sequence[Any]) -> tuple[npt.NDArray[np.float64], float]:
    """Return the log-probability of each option, (questions, options), and the seconds that preparing took.

    All that this benchmark knows of KIS's scoring is in here.

    Args:
        model: A causal LM of ``transformers``.
        tokenizer: A fast tokenizer of ``transformers``.
        questions: Of ``kis_plugin.retention.questions.probes``.
    """
    from kis_plugin.retention.scoring.prepare import prepare
    from kis_plugin.retention.scoring.scorer import Scorer
    from kis_plugin.tokenized.tokenizer import HFTokenizer
    from kis_torch.model_view import TorchModelView

    start = perf_counter()
    prepared = prepare(questions, HFTokenizer(tokenizer))
    preparing = perf_counter() - start
    view = TorchModelView(model)
    with view.evaluating():
        return Scorer(prepared).score(view).logprobs, preparing


class _Kis:
    batches: Sequence[int] = ()

    def __init__(self, folder: str, device: str) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._model = AutoModelForCausalLM.from_pretrained(folder).to(device)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)

    def score(self, items: Sequence[Item], batch: int | None) -> Scored:
        from kis_plugin.retention.questions.question import Question

        questions = [
            Question(number, item.prefix, item.options, item.answer, "held_out") for number, item in enumerate(items)
        ]
        logprobs, preparing = kis_scores(self._model, self._tokenizer, questions)
        return Scored(logprobs.tolist(), preparing)


def load(folder: str, device: str) -> Contender:
    return _Kis(folder, device)


if __name__ == "__main__":
    serve(load)
