"""attention: sentence: an infused text in a packed row gives the same logits as alone, in real models."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, MambaConfig, MambaForCausalLM

from kis_plugin.errors import KISError
from kis_torch.block_diagonal import use_block_diagonal
from tests.world.models import make_model


def gpt2():
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=500, n_positions=64, n_embd=16, n_layer=2, n_head=2))


@pytest.mark.parametrize("make", [make_model, gpt2])
def test_a_text_in_a_packed_row_is_trained_as_if_alone(make):
    model = make()
    for module in model.modules():  # without dropout, so that two passes can be compared
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    undo = use_block_diagonal(model)
    model.train()
    texts = [torch.randint(1, 500, (length,)) for length in (9, 5, 18)]
    row = torch.cat(texts)[None]
    positions = torch.cat([torch.arange(len(text)) for text in texts])[None]
    packed = model(input_ids=row, attention_mask=torch.ones_like(row), position_ids=positions).logits
    alone = torch.cat([model(input_ids=text[None]).logits for text in texts], dim=1)
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-5)
    undo()
    mixed = model(input_ids=row, attention_mask=torch.ones_like(row), position_ids=positions).logits
    assert (mixed - alone).abs().max() > 1e-3


def test_a_model_that_cannot_part_rows_is_refused():
    model = MambaForCausalLM(MambaConfig(vocab_size=500, hidden_size=16, num_hidden_layers=1, state_size=4))
    with pytest.raises(
        KISError, match=r"infusion.attention: found sentence, with MambaForCausalLM.*Use attention: row"
    ):
        use_block_diagonal(model)
