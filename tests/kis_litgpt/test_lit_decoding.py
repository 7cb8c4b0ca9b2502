"""Drafted decoding by LitGPT's model: what plain greedy decoding says, in trees and in rows."""

from __future__ import annotations

import pytest
import torch
from litgpt import GPT, Config

from kis_litgpt.model import LitModelView
from kis_plugin.free_form.decoding import Decoder
from kis_plugin.free_form.prompts import prepare_prompts
from kis_plugin.tokenized.tokenizer import HFTokenizer

pytest.importorskip("transformers")
from tests.world.data import SEQUENCE_LENGTH
from tests.world.greedy import both, plain
from tests.world.litgpt import GROUPED, SMALL
from tests.world.questions import make_free_questions, teach
from tests.world.tokenizers import make_tokenizer


@pytest.mark.parametrize(
    ("name", "keys", "folded"),
    [
        ("pythia-14m", {}, True),
        ("Llama-2-7b-hf", {}, True),
        ("Qwen3-0.6B", GROUPED, True),
        ("Gemma-2-2b", GROUPED, False),  # some of its layers see a window
    ],
)
def test_it_is_what_plain_decoding_says(name, keys, folded):
    torch.manual_seed(0)
    model = GPT(Config.from_name(name, **SMALL, **keys))
    teach(model, model.parameters())
    view = LitModelView(model.eval(), torch.device("cpu"))
    prepared = prepare_prompts(make_free_questions(), HFTokenizer(make_tokenizer()))
    decoder = Decoder(prepared, SEQUENCE_LENGTH)
    with view.evaluating():
        alias, exact, finite = (found.tolist() for found in decoder.answer(view))
    assert all(finite)
    assert (decoder.without_trees == "") == folded
    assert (alias, exact) == both(
        [plain(prepared, view, place, SEQUENCE_LENGTH) for place in range(len(prepared.prompts))]
    )
    assert 4 <= sum(exact) < sum(alias) < len(alias)
