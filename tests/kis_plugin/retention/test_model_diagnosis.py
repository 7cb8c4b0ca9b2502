"""What a model must offer is tried before the first step, and said in words."""

from contextlib import nullcontext

import pytest

pytest.importorskip("torch")

import torch

from kis_plugin.errors import KISError
from kis_plugin.retention.evaluator import Evaluator
from kis_plugin.retention.questions.question import FREE_FORM, Question
from tests.world.plain import Letters

OPTIONS = [
    Question(n, "The home of Ann is ", ("Rome.", "Oslo."), n, "held_out", "r", option_set=(0, 1)) for n in (0, 1)
]
FREE = [Question(0, "Ann is from ", ("Rome.",), 0, "cloze", "r", accepted=("Rome",), scorer=FREE_FORM)]
LONGEST = len("The home of Ann is Rome.")  # a row has EOS before it and lacks its last letter


class Model:
    """Gives alike logits to 128 tokens, from an embedding of ``vocabulary`` and ``positions``."""

    def __init__(self, vocabulary=128, positions=200, shape=lambda logits: logits):
        self.tokens = torch.nn.Embedding(vocabulary, 4)
        self.positions = torch.nn.Embedding(positions, 4)
        self.shape = shape

    def evaluating(self):
        return nullcontext()

    def logits(self, input_ids):
        hidden = self.tokens(input_ids) + self.positions(torch.arange(input_ids.shape[1]))
        return self.shape(hidden @ self.tokens.weight.T)


def evaluated(model, questions=OPTIONS):
    return Evaluator(questions, Letters(), 200, []).answer(model)


@pytest.mark.parametrize("questions", [OPTIONS, FREE], ids=["options", "free form"])
def test_a_model_that_offers_enough_is_evaluated(questions):
    assert len(evaluated(Model(), questions).correct) == len(questions)


@pytest.mark.parametrize("questions", [OPTIONS, FREE], ids=["options", "free form"])
def test_a_tokenizer_with_more_tokens_than_the_model_is_named(questions):
    with pytest.raises(KISError, match=r"tokenizer: found 128 token ids in the tokenizer, expected at most the 90"):
        evaluated(Model(vocabulary=90), questions)


def test_too_few_positions_for_a_probe_are_named():
    with pytest.raises(KISError, match=rf"takes no rows of {LONGEST} tokens \(IndexError: .*longest probe"):
        evaluated(Model(positions=LONGEST - 1))
    evaluated(Model(positions=LONGEST))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (TypeError("forward() got an unexpected keyword argument 'input_ids'"), "TypeError: forward"),
        (ValueError("You must specify exactly one of input_ids or inputs_embeds\nmore"), "exactly one of .* expected"),
        (AttributeError("'dict' object has no attribute 'logits'"), "'dict' object has no attribute 'logits'"),
    ],
)
def test_a_model_that_cannot_be_called_is_named_with_its_error(error, line):
    class Refusing(Model):
        def logits(self, input_ids):
            raise error

    with pytest.raises(KISError, match=rf"model: found .*{line}.*next-token logits \(rows, tokens, V\)"):
        evaluated(Refusing())


def test_logits_of_another_shape_are_named():
    with pytest.raises(KISError, match=r"logits of shape \(1, 128\) for token ids of shape \(1, 1\)"):
        evaluated(Model(shape=lambda logits: logits[:, -1]))


def test_an_error_of_another_kind_stays_as_it_is():
    class Moody(Model):
        def logits(self, input_ids):
            if (input_ids > 0).any():
                raise RuntimeError("a kernel failed")
            return super().logits(input_ids)

    with pytest.raises(RuntimeError, match="a kernel failed"):
        evaluated(Moody())


def test_what_a_model_lacks_shows_before_any_question():
    tried = Evaluator(OPTIONS, Letters(), 200, []).try_model
    tried(Model(positions=LONGEST))
    for model, message in (
        (Model(vocabulary=90), "at most the 90"),
        (Model(positions=LONGEST - 1), "as many positions as the longest probe"),
        (Model(shape=lambda logits: logits[:, -1]), "logits of shape"),
    ):
        with pytest.raises(KISError, match=message):
            tried(model)
