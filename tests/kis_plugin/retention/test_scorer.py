from contextlib import nullcontext
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from kis_plugin.knowledge.facts import Fact, Templates
from kis_plugin.retention.questions.distractors import option_sets
from kis_plugin.retention.questions.probes import BUILT_IN
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.retention.scoring.prepare import prepare
from kis_plugin.retention.scoring.scorer import Scorer, score
from kis_plugin.tokenized.tokenizer import Encoded, HFTokenizer

CITIES = ["Rome", "New York", "Oslo", "Llanfairpwllgwyngyll", "Åre", "New Delhi", "3rd Mile", "Rio"]
FACTS = [Fact(f"Person {number}", "born", CITIES[number % 8]) for number in range(24)]
TEMPLATES = Templates(
    ("{subject} was born in {object}.", "{object} is where {subject} was born.", "Of {subject}: born in {object}!"),
    ("Where was {subject} born? {object}",),
)


@pytest.fixture(scope="module")
def tokenizer():
    """A byte-level BPE of a few merges, so that names take one to many tokens."""
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<eos>"], initial_alphabet=alphabet)
    bare.train_from_iterator(["Person was born in New York. Where was Person born? Of Rome"] * 5, trainer)
    return HFTokenizer(PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="<eos>"))


class View:
    """A model of transformers as an adapter would show it."""

    def __init__(self, model):
        self.model, self.shapes = model.eval(), []

    def logits(self, input_ids):
        self.shapes.append(tuple(input_ids.shape))
        return self.model(input_ids=input_ids).logits

    def evaluating(self):
        return nullcontext()


class Const(View):
    """The same logits everywhere."""

    def __init__(self, logits):
        self.row, self.shapes = torch.tensor(logits), []

    def logits(self, input_ids):
        self.shapes.append(tuple(input_ids.shape))
        return self.row.expand(*input_ids.shape, -1)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request):
    torch.manual_seed(0)
    if request.param == "gpt2":
        made = GPT2LMHeadModel(
            GPT2Config(vocab_size=400, n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
        )
    else:
        made = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=400, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, max_position_embeddings=64,
            )
        )  # fmt: skip
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(4)  # so that options differ by nats
    return View(made)


def questions(*kinds, options=4):
    sets = option_sets(FACTS, np.arange(len(FACTS)), options, 1000, 0).sets
    maker = QuestionMaker(FACTS, sets, lambda relation: TEMPLATES, 0)
    return [question for kind in BUILT_IN if kind.name in kinds for question in kind.questions(maker)]


ALL = ("held_out", "question", "seen")


@torch.no_grad()
def sentence_logprob(model, ids, first=1):
    """One row, full log-softmax, tokens from ``first`` on."""
    logprobs = torch.log_softmax(model.model(input_ids=torch.tensor([ids])).logits[0].double(), dim=-1)
    return sum(float(logprobs[at - 1, ids[at]]) for at in range(first, len(ids)))


def plain(model, tokenizer, question):
    """Log-probability of each option, one at a time, from the first token on that reaches into any option."""
    texts = tokenizer.encode([question.prefix + option for option in question.options])
    first = 1 + min(sum(end <= len(question.prefix) for end in text.ends) for text in texts)
    return [sentence_logprob(model, [tokenizer.eos, *text.ids], first) for text in texts]


def test_logprobs_equal_those_of_single_options(model, tokenizer):
    probed = questions(*ALL)
    expected = np.array([plain(model, tokenizer, question) for question in probed])
    scores = score(probed, tokenizer, model, batch_tokens=512)
    assert len(probed) == 72
    np.testing.assert_allclose(scores.logprobs, expected, atol=1e-4)
    right = expected[np.arange(72), [question.answer for question in probed]]
    assert scores.correct.tolist() == (right == expected.max(axis=1)).tolist()
    assert 0 < scores.correct.sum() < 72


def test_differences_equal_those_of_transformers_losses(model, tokenizer):
    probed = questions(*ALL)[::5]
    scores = score(probed, tokenizer, model)
    for question, got in zip(probed, scores.logprobs, strict=True):
        whole = []
        for text in tokenizer.encode([question.prefix + option for option in question.options]):
            ids = torch.tensor([[tokenizer.eos, *text.ids]])
            with torch.no_grad():
                whole.append(-float(model.model(input_ids=ids, labels=ids).loss) * len(text.ids))
        np.testing.assert_allclose(got - got[0], np.array(whole) - whole[0], atol=1e-3)


@pytest.mark.parametrize("batch_tokens", [1, 100, 10**6])
def test_the_batch_size_does_not_change_scores(model, tokenizer, batch_tokens):
    probed = questions("held_out", "seen")
    expected = score(probed, tokenizer, model).logprobs
    model.shapes.clear()
    np.testing.assert_allclose(score(probed, tokenizer, model, batch_tokens).logprobs, expected, atol=1e-4)
    assert all(rows * width <= batch_tokens or rows == 1 for rows, width in model.shapes)
    assert all(width % 8 == 0 for _, width in model.shapes)
    assert model.shapes[0][1] == max(width for _, width in model.shapes)


def test_rows_are_not_padded_beyond_the_model(tokenizer):
    probed = [Question(0, "was born in ", ("Rome.", "Oslo."), 0, "seen")]
    longest = len(prepare(probed, tokenizer).rows[0])
    assert longest % 8
    model = Const([0.0] * 400)
    Scorer(prepare(probed, tokenizer), sequence_length=longest).score(model)
    assert model.shapes == [(2, longest)]


def test_options_of_one_token_at_the_end_share_one_row(model, tokenizer):
    probed = [Question(0, "Where was Person 1 born?", tuple("?!.,"), 0, "question")]
    prepared = prepare(probed, tokenizer)
    assert len(prepared.rows) == 1
    np.testing.assert_allclose(Scorer(prepared).score(model).logprobs[0], plain(model, tokenizer, probed[0]), atol=1e-4)


@given(st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=8))
@settings(max_examples=50)
def test_prefix_rows_are_merged_and_scored_alike(texts):
    """The model's logits depend on all tokens so far, so a token scored in a wrong row would show."""
    questions = [Question(0, "", (text,), 0, "any") for text in ["", *texts]]
    together = score(questions, Letters(), Sums())
    for question, got in zip(questions, together.logprobs, strict=True):
        (text,) = Letters().encode(question.options)
        with torch.no_grad():
            logprobs = torch.log_softmax(Sums().logits(torch.tensor([[3, *text.ids]]))[0], dim=-1)
        assert got[0] == pytest.approx(sum(float(logprobs[at, token]) for at, token in enumerate(text.ids)), abs=1e-5)
    assert len(prepare(questions, Letters()).rows) == len(leaves({text[:-1] for text in texts} | {""}))


def leaves(texts):
    return {text for text in texts if not any(other != text and other.startswith(text) for other in texts)}


class Letters:
    """One token a letter."""

    eos = 3
    fingerprint = "letters"

    def encode(self, texts):
        return [Encoded(tuple(map("abc".index, text)), tuple(range(1, len(text) + 1))) for text in texts]


class Sums(Const):
    def __init__(self):
        self.shapes = []

    def logits(self, input_ids):
        depth = (input_ids * torch.arange(1, input_ids.shape[1] + 1)).cumsum(dim=1).double()
        return torch.stack([torch.sin(depth), torch.cos(depth), torch.sin(2 * depth), torch.cos(3 * depth)], dim=-1)


class Straddling:
    """Words with the space before them, except that a digit parts from its space: the prefix's last token changes."""

    eos = 0
    fingerprint = "straddling"
    table: ClassVar = {"born": 1, " in": 2, " ": 3, "7": 4, " Rome": 5, " Oslo": 6}

    def encode(self, texts):
        found = []
        for text in texts:
            ids, ends, at = [], [], 0
            while at < len(text):
                piece = max((piece for piece in self.table if text.startswith(piece, at)), key=len)
                at += len(piece)
                ids.append(self.table[piece])
                ends.append(at)
            found.append(Encoded(tuple(ids), tuple(ends)))
        return found


def test_changed_prefix_tokens_are_scored_for_all_options():
    model = Const([0.0, 0.0, 0.0, 1.0, 0.5, 0.25, 0.125])
    question = Question(0, "born in ", ("7", "Rome", "Oslo"), 0, "seen")
    total = float(torch.logsumexp(model.row, 0))
    got = score([question], Straddling(), model).logprobs[0]
    np.testing.assert_allclose(got, [1.5 - 2 * total, 0.25 - total, 0.125 - total], atol=1e-6)


def test_a_model_without_preferences_is_not_right(tokenizer):
    scores = score(questions(*ALL), tokenizer, Const([0.0] * 400))
    assert scores.correct.sum() <= 72 / 4
    tie = score([Question(0, "born in ", ("Rome.", "Rome."), 0, "seen")], tokenizer, Const([0.0] * 400))
    assert tie.margin.tolist() == [0.0]
    assert not tie.correct.any()


def test_a_preference_for_objects_scores_exactly_chance(tokenizer):
    """Token frequencies without any look at the subject: the balance of the sets takes all of it away."""
    logits = np.random.default_rng(3).normal(size=400).tolist()
    for kind in ALL:
        scores = score(questions(kind), tokenizer, Const(logits))
        assert scores.correct.mean() == 1 / 4


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("tokens", [slice(None), slice(7, 8)], ids=["all tokens", "one token"])
def test_nan_or_infinite_logits_are_no_scores(tokenizer, value, tokens):
    logits = np.zeros(400)
    logits[tokens] = value
    scores = score(questions("seen"), tokenizer, Const(logits.tolist()))
    assert not scores.correct.any()
    assert not scores.finite.any()


def test_minus_infinity_excludes_a_token_and_is_finite(tokenizer):
    logits = np.zeros(400)
    logits[399] = -np.inf  # of no option, as a padded vocabulary has
    assert score(questions("seen"), tokenizer, Const(logits.tolist())).finite.all()


def test_questions_may_differ_in_their_number_of_options(model, tokenizer):
    two, three = questions("seen", options=2)[0], questions("seen", options=3)[0]
    both = score([two, three], tokenizer, model)
    assert both.logprobs.shape == (2, 3)
    assert both.logprobs[0, 2] == -np.inf
    np.testing.assert_allclose(both.logprobs[0, :2], score([two], tokenizer, model).logprobs[0], atol=1e-4)


def test_lengths_count_the_eos_before_a_sentence(tokenizer):
    probed = questions("held_out")
    longest = [max(len(text.ids) for text in tokenizer.encode([q.prefix + o for o in q.options])) for q in probed]
    assert prepare(probed, tokenizer).lengths.tolist() == [length + 1 for length in longest]
