"""lm-pub-quiz: ``Evaluator.score_answers`` for each question, as its ``evaluate_dataset`` calls it.

What is done so that it is quick and scores the same:

- ``score_answers`` itself, without the tables of pandas that ``evaluate_dataset`` makes around it.
- ``conditional_score=True``: log-softmax for the tokens of the object alone.
- It wants a BOS before each statement. The tokenizer's post-processor puts EOS there, which is named BOS too: the
  context of infusion. Were the post-processor missing, it would tokenize every statement twice, and take the object to
  begin as many characters early as BOS has.
- ``capitalize=False``: by default the sentence's first letter is made upper case, which would be another text.
- A call sees the options of one question only, so no batch is larger than their number.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.scorers.contract import Contender, Item, Scored, Watch, serve


class _LmPubQuiz:
    batches: Sequence[int] = (1, 2, 4)

    def __init__(self, folder: str, device: str) -> None:
        from lm_pub_quiz import Evaluator
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(folder).to(device).eval()
        self._evaluator = Evaluator.from_model(
            model,
            model_type="CLM",
            tokenizer=AutoTokenizer.from_pretrained(folder),
            device=device,
            conditional_score=True,
            capitalize=False,
        )
        self._encoding = Watch(self._evaluator, "encode")

    def score(self, items: Sequence[Item], batch: int | None) -> Scored:
        before = self._encoding.seconds
        logprobs = [
            self._evaluator.score_answers(
                template=item.prefix + "[Y]", answers=item.options, reduction="sum", batch_size=batch
            )
            for item in items
        ]
        return Scored(logprobs, self._encoding.seconds - before)


def load(folder: str, device: str) -> Contender:
    return _LmPubQuiz(folder, device)


if __name__ == "__main__":
    serve(load)
