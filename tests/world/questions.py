"""A model and questions that several processes make alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from kis_plugin.free_form.probes import FREE_FORM_KINDS
from kis_plugin.knowledge.facts import Fact, Templates
from kis_plugin.retention.evaluator import Evaluator
from kis_plugin.retention.questions.distractors import option_sets
from kis_plugin.retention.questions.probes import BUILT_IN
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.tokenized.tokenizer import HFTokenizer
from tests.world.models import make_view_model
from tests.world.tokenizers import make_tokenizer

TEMPLATES = Templates(
    ("{subject} was born in {object}.", "The town where {subject} was born is {object}, they say."),
    ("Where was {subject} born? {object}",),
)
FACTS = [Fact(f"Person{number}", "born", f"Town{number % 8}") for number in range(48)]


def teach(logits: Callable[[torch.Tensor], torch.Tensor], parameters: Iterable[torch.nn.Parameter]) -> None:
    """Teach a model what follows each question: the answer, it in other letters, a wrong one, a word that goes on."""
    changes: Sequence[Callable[[str], str]] = (str, str.lower, lambda name: "Town9", lambda name: name + "ship")
    tokenizer = make_tokenizer()
    prompts = [tokenizer(f"Where was {fact.subject} born?")["input_ids"] for fact in FACTS]
    said = [tokenizer(f" {changes[n // 8 % 4](fact.object)}.")["input_ids"] for n, fact in enumerate(FACTS)]
    rows = [[0, *prompt, *answer, 0] for prompt, answer in zip(prompts, said, strict=True)]
    _fit(logits, parameters, rows, [len(prompt) + 1 for prompt in prompts])


def teach_rows(model: torch.nn.Module, rows: Sequence[Sequence[int]]) -> None:
    """Teach a model to go on in each row behind its first token."""
    _fit(lambda ids: model(input_ids=ids).logits, model.parameters(), rows, [1] * len(rows))


def _fit(
    logits: Callable[[torch.Tensor], torch.Tensor],
    parameters: Iterable[torch.nn.Parameter],
    rows: Sequence[Sequence[int]],
    firsts: Sequence[int],
) -> None:
    """Fit what stands from place ``firsts`` of each row on."""
    ids = torch.zeros((len(rows), max(map(len, rows))), dtype=torch.int64)
    targets = torch.full_like(ids, -100)
    for number, (row, first) in enumerate(zip(rows, firsts, strict=True)):
        ids[number, : len(row)] = torch.tensor(row)
        targets[number, first : len(row)] = ids[number, first : len(row)]
    optimizer = torch.optim.AdamW(parameters, lr=5e-3)
    for _ in range(300):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits(ids)[:, :-1].flatten(0, 1), targets[:, 1:].flatten())
        if loss < 0.05:
            break
        loss.backward()
        optimizer.step()


def make_taught_model() -> torch.nn.Module:
    model = make_view_model()
    teach(lambda ids: model(input_ids=ids).logits, model.parameters())
    return model


def make_questions():
    return [question for kind in BUILT_IN for question in kind.questions(_maker())]


def make_free_questions():
    return [question for kind in FREE_FORM_KINDS for question in kind.questions(_maker())]


def _maker() -> QuestionMaker:
    sets = option_sets(FACTS, np.arange(len(FACTS)), 4, 1000, 0).sets
    return QuestionMaker(FACTS, sets, lambda relation: TEMPLATES, 0)


def make_evaluator(batch_tokens: int = 256) -> Evaluator:
    return Evaluator([*make_questions(), *make_free_questions()], HFTokenizer(make_tokenizer()), 64, [], batch_tokens)
