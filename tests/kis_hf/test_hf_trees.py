"""Token trees in the models of transformers: the log-probabilities of the plain way, or the plain way itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from kis_plugin.retention.scoring.forward_passes import ForwardPasses
from kis_plugin.retention.scoring.prepare import prepare
from kis_plugin.retention.scoring.scorer import Scorer
from kis_plugin.run.ranks import Ranks
from kis_plugin.tokenized.tokenizer import HFTokenizer
from kis_torch.model_view import TorchModelView
from tests.world.questions import make_questions
from tests.world.tokenizers import make_tokenizer

SMALL = {
    "vocab_size": 500, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
GPT = {
    "vocab_size": 500, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "bos_token_id": 0,
    "eos_token_id": 0,
}  # fmt: skip
FOLDED = {
    "GPT2Config": GPT,
    "GPTNeoXConfig": SMALL,
    "LlamaConfig": SMALL,
    "OPTConfig": SMALL | {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "PhiConfig": SMALL,
    "Qwen2Config": SMALL,
    "Qwen3Config": SMALL | {"head_dim": 8},
    "GemmaConfig": SMALL | {"head_dim": 8},
    "OlmoConfig": SMALL,
    "Olmo2Config": SMALL,
    "GraniteConfig": SMALL | {"logits_scaling": 3.0},
    "CohereConfig": SMALL,
    "MixtralConfig": SMALL | {"num_local_experts": 4, "sliding_window": None},
    "SmolLM3Config": SMALL,
}
PLAIN = {
    "BloomConfig": {"vocab_size": 500, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "MistralConfig": SMALL | {"sliding_window": 16},
    "MambaConfig": {"vocab_size": 500, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
}


def view(name, keys, **more):
    torch.manual_seed(0)
    config = getattr(transformers, name)(**keys)
    model = AutoModelForCausalLM.from_config(config, **more).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)  # so that options differ by nats, and what is seen matters
    return TorchModelView(model)


@pytest.fixture(scope="module")
def prepared():
    return prepare(make_questions(), HFTokenizer(make_tokenizer()))


def scores(prepared, model):
    folded, plain = Scorer(prepared), Scorer(prepared, trees=False)
    with torch.no_grad():
        return folded, folded.score(model).logprobs, plain.score(model).logprobs


@pytest.mark.parametrize("name", FOLDED)
def test_trees_give_the_log_probabilities_of_rows(prepared, name):
    scorer, folded, plain = scores(prepared, view(name, FOLDED[name]))
    assert scorer.without_trees == ""
    assert np.ptp(plain) > 1
    np.testing.assert_allclose(folded, plain, atol=1e-4)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_either_implementation_of_attention_takes_the_mask(prepared, attention):
    model = view("LlamaConfig", SMALL, attn_implementation=attention)
    scorer, folded, plain = scores(prepared, model)
    assert scorer.without_trees == ""
    np.testing.assert_allclose(folded, plain, atol=1e-4)


def test_attention_without_masks_is_replaced_for_probes(prepared):
    model = view("LlamaConfig", SMALL, attn_implementation="flex_attention")
    twin = view("LlamaConfig", SMALL)
    with torch.no_grad():
        expected = Scorer(prepared).score(twin).logprobs
        lines = prepared.tree_rows()
        folded = ForwardPasses(lines, 2048).logprobs(model, Ranks(), lambda part: None)
    assert model._model.config._attn_implementation == "flex_attention"
    np.testing.assert_allclose(prepared.scored(folded).logprobs, expected, atol=1e-4)


@pytest.mark.parametrize("name", PLAIN)
def test_models_that_take_no_trees_are_scored_row_by_row(prepared, name):
    scorer, folded, plain = scores(prepared, view(name, PLAIN[name]))
    assert scorer.without_trees
    np.testing.assert_allclose(folded, plain, atol=1e-4)


class Blind(TorchModelView):
    """Takes the mask and drops it."""

    def tree_logits(self, input_ids, positions, sees, last):
        return super().tree_logits(input_ids, positions, sees.new_ones(sees.shape).tril(), last)


class Counted(TorchModelView):
    """Takes the positions and counts its own."""

    def tree_logits(self, input_ids, positions, sees, last):
        return super().tree_logits(input_ids, torch.arange(positions.shape[1]).expand_as(positions), sees, last)


@pytest.mark.parametrize("kind", [Blind, Counted])
@pytest.mark.parametrize("name", ["GPT2Config", "LlamaConfig"])
def test_a_model_that_drops_what_it_is_given_is_found_out(prepared, kind, name):
    scorer, folded, plain = scores(prepared, kind(view(name, FOLDED[name])._model))
    assert scorer.without_trees.startswith("its logits change by")
    np.testing.assert_allclose(folded, plain, atol=1e-4)


def test_trees_are_tried_again_at_every_evaluation(prepared):
    model = view("GPT2Config", GPT)
    scorer = Scorer(prepared)
    with torch.no_grad():
        before = scorer.score(model).logprobs
        assert scorer.without_trees == ""
        np.testing.assert_allclose(scorer.score(Blind(model._model)).logprobs, before, atol=1e-4)
    assert scorer.without_trees


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_coarse_dtypes_too(prepared, dtype):
    model = view("LlamaConfig", SMALL)
    model._model.to(dtype)
    scorer, folded, plain = scores(prepared, model)
    assert scorer.without_trees == ""
    assert np.abs(folded - plain).max() < 0.2


def test_in_autocast_too(prepared):
    model = view("LlamaConfig", SMALL)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scorer, folded, plain = scores(prepared, model)
    assert scorer.without_trees == ""
    assert np.abs(folded - plain).max() < 0.2


def test_much_less_is_computed_than_row_by_row(prepared):
    scorer, _, _ = scores(prepared, view("GPT2Config", GPT))
    nodes = sum(lines * tokens * count for (lines, tokens, _), count in scorer.shapes.items())
    assert nodes < sum(map(len, prepared.rows)) / 2


def test_a_compiled_model_compiles_once_for_each_shape(prepared):
    compilations = []

    def backend(graph, inputs):
        compilations.append(graph)
        return graph.forward

    torch._dynamo.reset()
    model = view("GPT2Config", GPT)
    model._model.forward = torch.compile(model._model.forward, backend=backend, dynamic=False, fullgraph=True)
    scorer = Scorer(prepared, batch_tokens=512)
    with torch.no_grad():
        scorer.score(model)
        first = len(compilations)
        scorer.score(model)
    assert len(compilations) == first  # later evaluations bring no new shape
    assert first <= len(scorer.shapes) + 2  # two more for the trial
    torch._dynamo.reset()
