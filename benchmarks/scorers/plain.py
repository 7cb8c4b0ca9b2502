"""The plain way: each option is a forward pass of one row, in float32, its log-softmax over whole rows in float64.

The context is EOS and the sentence's beginning. Scored are the tokens that the option adds to those of the prefix; the
items are made so that the prefix's tokens are the same with every option.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from benchmarks.scorers.contract import Contender, Item, Scored, serve


class _Plain:
    batches: Sequence[int] = ()

    def __init__(self, folder: str, device: str) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._model = AutoModelForCausalLM.from_pretrained(folder).to(device).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._device = device

    def score(self, items: Sequence[Item], batch: int | None) -> Scored:
        import torch

        start = perf_counter()
        rows = [[self._ids(item.prefix + option) for option in item.options] for item in items]
        begins = [len(self._ids(item.prefix.rstrip())) for item in items]
        tokenizing = perf_counter() - start
        found = []
        with torch.inference_mode():
            for begin, options in zip(begins, rows, strict=True):
                assert len({tuple(ids[:begin]) for ids in options}) == 1
                found.append([self._logprob(ids, begin) for ids in options])
        return Scored(found, tokenizing)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return [self._tokenizer.eos_token_id, *ids]

    def _logprob(self, ids: Sequence[int], begin: int) -> float:
        import torch

        row = torch.tensor([list(ids)], device=self._device)  # (1, T)
        logprobs = self._model(input_ids=row, use_cache=False).logits[0].double().log_softmax(dim=-1)  # (T, V)
        scored = logprobs[begin - 1 : -1].gather(1, row[0, begin:, None])  # (scored, 1)
        return float(scored.sum())


def load(folder: str, device: str) -> Contender:
    return _Plain(folder, device)


if __name__ == "__main__":
    serve(load)
