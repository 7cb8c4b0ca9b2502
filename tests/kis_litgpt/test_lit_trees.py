"""Token trees in LitGPT's model: the log-probabilities of the plain way, or the plain way itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from litgpt import GPT, Config

from kis_litgpt.model import LitModelView
from kis_plugin.retention.scoring.prepare import prepare
from kis_plugin.retention.scoring.scorer import Scorer
from kis_plugin.tokenized.tokenizer import HFTokenizer

pytest.importorskip("transformers")
from tests.world.litgpt import GROUPED, SMALL
from tests.world.questions import make_questions
from tests.world.tokenizers import make_tokenizer


@pytest.mark.parametrize(
    ("name", "keys", "folded"),
    [
        ("pythia-14m", {}, True),
        ("Llama-2-7b-hf", {}, True),
        ("phi-2", {}, True),
        ("Qwen3-0.6B", GROUPED, True),
        ("Gemma-2-2b", GROUPED, False),  # some of its layers see a window
    ],
)
def test_trees_give_the_log_probabilities_of_rows(name, keys, folded):
    torch.manual_seed(0)
    model = GPT(Config.from_name(name, **SMALL, **keys)).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    view = LitModelView(model, torch.device("cpu"))
    prepared = prepare(make_questions(), HFTokenizer(make_tokenizer()))
    scorer = Scorer(prepared)
    with torch.no_grad():
        found, plain = scorer.score(view).logprobs, Scorer(prepared, trees=False).score(view).logprobs
    assert (scorer.without_trees == "") == folded
    np.testing.assert_allclose(found, plain, atol=1e-4)
    assert np.ptp(plain) > 1
