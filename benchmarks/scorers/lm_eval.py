"""lm-eval: ``HFLM.loglikelihood`` with a request for each option, all at once, as its multiple-choice tasks do.

``add_bos_token=True`` makes it encode with special tokens: the tokenizer's post-processor puts EOS, which is named BOS
too, before the context, as infusion does. The space at the context's end it takes to the continuation by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.scorers.contract import Contender, Item, Scored, Watch, serve


class _LmEval:
    batches: Sequence[int] = (4, 16, 64, 256)

    def __init__(self, folder: str, device: str) -> None:
        from lm_eval.models.huggingface import HFLM
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(folder).to(device).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        self._lm = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", add_bos_token=True, device=device)
        self._encoding = Watch(self._lm, "_encode_pair")

    def score(self, items: Sequence[Item], batch: int | None) -> Scored:
        from lm_eval.api.instance import Instance

        before = self._encoding.seconds
        self._lm.batch_size_per_gpu = batch
        requests = [
            Instance("loglikelihood", {}, (item.prefix, option), place)
            for item in items
            for place, option in enumerate(item.options)
        ]
        answers = iter(self._lm.loglikelihood(requests, disable_tqdm=True))
        logprobs = [[next(answers)[0] for _ in item.options] for item in items]
        return Scored(logprobs, self._encoding.seconds - before)


def load(folder: str, device: str) -> Contender:
    return _LmEval(folder, device)


if __name__ == "__main__":
    serve(load)
