"""Greedy decoding as it is defined: one question alone, one token at a time, without a draft."""

from __future__ import annotations

import torch

from kis_plugin.free_form.matching import Verdict


def plain(prepared, view, place, sequence_length):
    """The verdict on one answer, judged once, when all is said."""
    prompt, eos = prepared.prompts[place], prepared.tokenizer.eos
    said, ended = [], False
    for _ in range(min(prompt.limit, sequence_length - len(prompt.row) + 1)):
        with torch.no_grad():
            logits = view.logits(torch.tensor([[*prompt.row, *said]]))[0, -1]
        token = int(logits.argmax())
        if token == eos or logits.isnan().any() or token >= prepared.tokens:
            ended = token == eos and not logits.isnan().any()
            break
        said.append(token)
    verdict = prompt.matcher.judge(prepared.text_of(tuple(said)), ended)
    return Verdict.WRONG if verdict is Verdict.OPEN else verdict


def both(verdicts):
    """Whether each answer is a name, and whether it is the object to the letter."""
    return [verdict >= Verdict.ALIAS for verdict in verdicts], [verdict is Verdict.EXACT for verdict in verdicts]
