"""A model and questions that several processes make alike."""

from __future__ import annotations

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from world import make_tokenizer

from kis_plugin.knowledge import Fact, Templates
from kis_plugin.probing.asked import Asked
from kis_plugin.probing.options import option_sets
from kis_plugin.probing.probes import BUILT_IN, QuestionMaker
from kis_plugin.sentences import HFTokenizer

TEMPLATES = Templates(
    ("{subject} was born in {object}.", "The town where {subject} was born is {object}, they say."),
    ("Where was {subject} born? {object}",),
)
FACTS = [Fact(f"Person{number}", "born", f"Town{number % 8}") for number in range(48)]


def make_view_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=500, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=64,
        )
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
    return model


def make_questions():
    sets = option_sets(FACTS, np.arange(len(FACTS)), 4, 1000, 0).sets
    maker = QuestionMaker(FACTS, sets, lambda relation: TEMPLATES, 0)
    return [question for kind in BUILT_IN if kind.name != "cloze" for question in kind.questions(maker)]


def make_asked(batch_tokens: int = 256) -> Asked:
    return Asked(make_questions(), HFTokenizer(make_tokenizer()), 64, [], batch_tokens)
