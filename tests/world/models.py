"""Small models of transformers whose weights come from a seed."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM, set_seed

from tests.world.data import SEQUENCE_LENGTH

EOS = 0


def make_model(seed: int = 0, hidden: int = 16, heads: int = 2, tied: bool = True, layers: int = 1) -> LlamaForCausalLM:
    """The model of the small runs; one that learns their facts has ``hidden`` 64, four heads and untied embeddings."""
    set_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=500, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers,
            num_attention_heads=heads, max_position_embeddings=SEQUENCE_LENGTH, bos_token_id=None, eos_token_id=EOS,
            tie_word_embeddings=tied,
        )
    )  # fmt: skip


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
