"""Drafted decoding by models of transformers says what plain decoding says, in trees and rows, and in little memory."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from kis_plugin.free_form.decoding import Decoder
from kis_plugin.free_form.prompts import prepare_prompts
from kis_plugin.tokenized.tokenizer import HFTokenizer
from kis_torch.model_view import TorchModelView
from tests.world.data import SEQUENCE_LENGTH
from tests.world.greedy import both, plain
from tests.world.questions import make_free_questions, make_taught_model, teach
from tests.world.tokenizers import make_tokenizer

SMALL = {
    "vocab_size": 500, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": SEQUENCE_LENGTH, "pad_token_id": 0, "bos_token_id": 0,
    "eos_token_id": 0,
}  # fmt: skip
FULL = torch.cuda.OutOfMemoryError("CUDA out of memory.")


@pytest.fixture(scope="module")
def prepared():
    return prepare_prompts(make_free_questions(), HFTokenizer(make_tokenizer()))


@pytest.fixture(scope="module")
def model():
    return make_taught_model().eval()


class Watched(TorchModelView):
    """Remembers its passes as (lines, tokens, logits a line), and may have room for few lines behind the first two."""

    def __init__(self, model, room=10**9):
        super().__init__(model)
        self.room, self.shapes = room, []

    @property
    def requests(self):
        """The passes behind the trial of trees: one in rows and one in a tree."""
        return self.shapes[2:]

    def logits(self, input_ids):
        return self._noted(super().logits, (*input_ids.shape, input_ids.shape[1]), input_ids)

    def tree_logits(self, input_ids, positions, sees, last):
        return self._noted(super().tree_logits, (*input_ids.shape, last), input_ids, positions, sees, last)

    def _noted(self, run, shape, *arguments):
        if len(self.shapes) >= 2 and shape[0] > self.room:
            raise FULL
        self.shapes.append(shape)
        return run(*arguments)


def answers(prepared, view, **keys):
    decoder = Decoder(prepared, SEQUENCE_LENGTH, **keys)
    with view.evaluating():
        alias, exact, finite = decoder.answer(view)
    assert finite.all()
    return decoder, alias.tolist(), exact.tolist()


@pytest.mark.parametrize(
    ("name", "more", "folded"),
    [
        ("LlamaConfig", {}, True),
        ("Qwen3Config", {"head_dim": 8}, True),
        ("MistralConfig", {"sliding_window": 8}, False),
    ],
)
def test_it_is_what_plain_decoding_says(prepared, name, more, folded):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(getattr(transformers, name)(**SMALL | more))
    teach(lambda ids: model(input_ids=ids).logits, model.parameters())
    view = TorchModelView(model.eval())
    decoder, alias, exact = answers(prepared, view)
    assert (decoder.without_trees == "") == folded
    assert (alias, exact) == both(
        [plain(prepared, view, place, SEQUENCE_LENGTH) for place in range(len(prepared.prompts))]
    )
    assert 4 <= sum(exact) < sum(alias) < len(alias)


def test_logits_are_taken_only_where_a_token_is_looked_at(prepared, model):
    taken = []
    handle = model.lm_head.register_forward_hook(lambda module, inputs, logits: taken.append(logits.shape[:2].numel()))
    view = Watched(model)
    decoder, *found = answers(prepared, view)
    handle.remove()
    assert taken == [lines * last for lines, _, last in view.shapes]
    first = view.requests[: sum(decoder.shapes.values())]
    assert Counter(first) == decoder.shapes
    rows = [len(prompt.next((), SEQUENCE_LENGTH)) for prompt in prepared.prompts]
    assert sum(lines * last for lines, _, last in first) < 0.6 * sum(rows)
    _, *plainly = answers(prepared, Watched(model), trees=False)
    assert found == plainly


@pytest.mark.parametrize("room", [1, 2, 3])
def test_what_memory_does_not_take_is_decoded_in_halves(prepared, model, room):
    _, *expected = answers(prepared, Watched(model))
    view = Watched(model, room)
    _, *found = answers(prepared, view, batch_tokens=1024)
    assert found == expected
    assert max(lines for lines, _, _ in view.requests) <= room
    assert len(view.requests) > 1024 // SEQUENCE_LENGTH // room


def test_the_size_that_memory_takes_is_remembered(prepared, model):
    decoder, view = Decoder(prepared, SEQUENCE_LENGTH, 1024), Watched(model, room=3)
    with view.evaluating():
        decoder.answer(view)
        view.room, view.shapes = 10**9, []
        decoder.answer(view)
    assert max(lines for lines, _, _ in view.requests) <= 3


def test_a_sharded_model_is_halved_by_agreement(prepared, model):
    whole, view = Watched(model), Watched(model, room=2)
    view.together = True
    _, *expected = answers(prepared, whole, batch_tokens=1024)
    _, *found = answers(prepared, view, batch_tokens=1024)
    assert found == expected
    assert max(lines for lines, _, _ in view.requests) <= 2


def test_a_compiled_model_meets_few_shapes(prepared, model):
    view = Watched(model)
    decoder, *_ = answers(prepared, view, trees=False, batch_tokens=300)
    assert len(view.shapes) > sum(decoder.shapes.values())  # some took more than a round
    assert all(lines.bit_count() == 1 and lines * width <= 300 for lines, width, _ in view.shapes)
