"""Decoding with drafts gives what plain greedy decoding gives, token by token, in few passes."""

from __future__ import annotations

import threading
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from kis_plugin.free_form.decoding import Decoder
from kis_plugin.free_form.matching import Verdict
from kis_plugin.free_form.probes import FREE_FORM_KINDS
from kis_plugin.free_form.prompts import prepare_prompts
from kis_plugin.knowledge.facts import Fact, Templates
from kis_plugin.retention.evaluator import Evaluator
from kis_plugin.retention.questions.baselines import ceiling_of
from kis_plugin.retention.questions.distractors import OptionSet
from kis_plugin.retention.questions.question import FREE_FORM, Question
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.run.ranks import Ranks
from kis_plugin.tokenized.tokenizer import HFTokenizer
from tests.world.greedy import both, plain
from tests.world.plain import Letters
from tests.world.tokenizers import KINDS, hugging_face

BLOCK = 64
ALONE = Ranks()


class View:
    """A model of transformers as an adapter would show it."""

    def __init__(self, model):
        self.model, self.shapes = model.eval(), []

    def logits(self, input_ids):
        self.shapes.append(tuple(input_ids.shape))
        return self.model(input_ids=input_ids).logits

    def evaluating(self):
        return nullcontext()


def answers(prepared, model, ranks=ALONE, sequence_length=BLOCK, **keys):
    """What drafted decoding finds: whether each answer is a name, and whether it is the object to the letter."""
    alias, exact, _ = Decoder(prepared, sequence_length, **keys).answer(model, ranks)
    return [alias.tolist(), exact.tolist()]


# --- a model that says what it is made to, by letters --------------------------------------------------------------


class Speaker:
    """Goes on with the text it was given after each prompt, and says EOS where it knows nothing."""

    def __init__(self, speeches, width=130):
        self.tokens = {(0, *map(ord, prompt)): list(map(ord, speech)) for prompt, speech in speeches.items()}
        self.width, self.shapes = width, []

    def logits(self, input_ids):
        self.shapes.append(tuple(input_ids.shape))
        logits = torch.zeros(*input_ids.shape, self.width)
        for number, row in enumerate(input_ids.tolist()):
            for prompt, speech in self.tokens.items():
                if tuple(row[: len(prompt)]) == prompt:
                    said = row[len(prompt) :]
                    for at in range(len(speech) + 1):
                        if at <= len(said) and said[:at] == speech[:at] and len(prompt) + at <= len(row):
                            logits[number, len(prompt) + at - 1, [*speech, 0][at]] = 1.0
        return logits


def probe(*names, prompt="x is ", closing="."):
    return Question(0, prompt, (names[0] + closing,), 0, "cloze", "r", accepted=names, scorer=FREE_FORM)


SAID = st.lists(st.sampled_from([*"ab. \n", "the ", "ab"]), max_size=6).map("".join)
NAMED = st.lists(
    st.lists(st.sampled_from([*"ab. ", "the "]), min_size=1, max_size=4).map("".join).map(str.strip).filter(bool),
    min_size=1, max_size=3, unique=True,
)  # fmt: skip


@settings(max_examples=150)
@given(st.lists(st.tuples(NAMED, SAID), min_size=1, max_size=5), st.sampled_from(["", ".", ")."]), st.integers(1, 200))
def test_verdicts_do_not_depend_on_the_tokens_of_a_text(pairs, closing, batch_tokens):
    questions = [probe(*names, prompt=f"{n} is ", closing=closing) for n, (names, _) in enumerate(pairs)]
    model = Speaker({f"{n} is": speech for n, (_, speech) in enumerate(pairs)})
    prepared = prepare_prompts(questions, Letters())
    expected = both([plain(prepared, model, place, BLOCK) for place in range(len(pairs))])
    assert answers(prepared, model, batch_tokens=batch_tokens) == list(expected)


@pytest.mark.parametrize(
    ("said", "passes", "alias", "exact"),
    [
        (" Rome. It", 1, True, True),
        (" Rome", 1, True, True),
        (" Oslo. It", 1, False, False),
        (" Romeo. It", 1, False, False),
        (" Rome, Italy.", 3, False, False),  # it may be "Rome," up to the I
        (" rome. ", 1 + 5, True, False),  # no draft begins so: a pass for each token after the first
        (" Urbs Aeterna. ", 2, True, False),  # the other name is a draft too
    ],
)
def test_most_answers_take_one_pass(said, passes, alias, exact):
    prepared = prepare_prompts([probe("Rome", "Urbs Aeterna")], Letters())
    model = Speaker({"x is": said})
    assert answers(prepared, model) == [[alias], [exact]]
    assert len(model.shapes) == passes


def test_an_answer_is_cut_where_the_row_ends():
    prepared = prepare_prompts([probe("Rome")], Letters())
    assert prepared.lengths.tolist() == [1 + len("x is Rome.")]
    model = Speaker({"x is": " Rome. It"})
    sequence_length = len(" x is Rome.")
    assert answers(prepared, model, sequence_length=sequence_length)[0] == [True]
    assert answers(prepared, Speaker({"x is": " rome.  "}), sequence_length=sequence_length)[0] == [True]
    assert answers(prepared, Speaker({"x is": "  rome. "}), sequence_length=sequence_length)[0] == [False]
    assert all(width <= len(" x is Rome.") for _, width in model.shapes)


def test_an_endless_answer_is_stopped():
    model = Speaker({"x is": " " * 200})
    assert answers(prepare_prompts([probe("Rome")], Letters()), model, sequence_length=500)[0] == [False]
    assert len(model.shapes) <= 2 * len(" Rome.") + 8


@pytest.mark.parametrize("place", ["all", "one"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_or_infinite_logits_are_not_finite(place, value):
    class Diverged(Speaker):
        def logits(self, input_ids):
            logits = super().logits(input_ids)
            logits[..., slice(None) if place == "all" else 5] = value
            return logits

    found = Decoder(prepare_prompts([probe("Rome")], Letters()), BLOCK).answer(Diverged({"x is": " Rome."}))
    assert [array.tolist() for array in found] == [[False], [False], [False]]


def test_minus_infinity_only_excludes_a_token():
    class Masked(Speaker):
        def logits(self, input_ids):
            logits = super().logits(input_ids)
            logits[..., 5] = float("-inf")
            return logits

    found = Decoder(prepare_prompts([probe("Rome")], Letters()), BLOCK).answer(Masked({"x is": " Rome."}))
    assert [array.tolist() for array in found] == [[True], [True], [True]]


def test_a_padding_token_of_the_vocabulary_ends_an_answer():
    class Padding(Speaker):
        def logits(self, input_ids):
            logits = super().logits(input_ids)
            logits[:, :, 129] = 2.0
            return logits

    assert answers(prepare_prompts([probe("Rome")], Letters()), Padding({}))[0] == [False]


def test_no_prompts_give_no_answers():
    assert answers(prepare_prompts([], Letters()), Speaker({})) == [[], []]


def test_remarks_count_scoring_and_decoding_passes():
    free = [probe("Rome", prompt="x is "), probe("Oslo", prompt="y is ")]
    options = [Question(n, "z is ", ("Rome.", "Oslo."), n, "held_out", option_set=(0, 1)) for n in (0, 1)]
    model = Speaker({"x is": " Rome. ", "y is": " oslo. "})
    model.evaluating = nullcontext
    together = Evaluator([*free, *options], Letters(), BLOCK, [])
    together.answer(model)
    assert model.shapes[:2] == [(2, 16), (2, 16)]  # options, then what is answered freely
    assert len(model.shapes) > 2  # oslo is no draft
    assert together.remarks == [
        "an evaluation takes 2 passes of 1 shapes, and more where answers leave their drafts",
        "probes are scored row by row, which is slower: the model takes no positions and masks",
    ]


# --- ranks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3, 7])
def test_ranks_make_equally_many_passes(size):
    names = [("Rome", "Urbs"), ("Oslo",), ("Lima",), ("Bonn",), ("Kyiv",)]
    said = [" Urbs. ", " Oslo. ", " lima. ", " Rome. ", " K"]
    questions = [probe(*accepted, prompt=f"{n} is ") for n, accepted in enumerate(names)]
    speeches = {f"{n} is": speech for n, speech in enumerate(said)}
    expected = answers(prepare_prompts(questions, Letters()), Speaker(speeches))
    assert expected == [[True, True, True, False, False], [False, True, False, False, False]]
    barrier, parts, found, models = threading.Barrier(size), [None] * size, [None] * size, []

    def summing(rank):
        def total(array):
            parts[rank] = array.copy()
            barrier.wait(10)
            result = sum(parts)
            barrier.wait(10)
            return result

        return total

    def work(rank):
        prepared = prepare_prompts(questions, Letters())
        found[rank] = answers(prepared, models[rank], Ranks(rank, size, summing(rank)), batch_tokens=8)

    models += [Speaker(speeches) for _ in range(size)]
    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * size
    assert len({len(model.shapes) for model in models}) == 1


# --- models and tokenizers of transformers -------------------------------------------------------------------------

SUBJECTS = "abcdefghijklmnoprs"
PLACES = ["Paris", "New York", "Bamako", "Ségou", "Washington, D.C.", "Tokyo", "The Hague", "Zürich"]
TEMPLATES = Templates(
    ("{subject} is from {object}.", "The home of {subject} is {object}."), ("Where is {subject} from? {object}",)
)
FACTS = tuple(Fact(f"Person {SUBJECTS[n]}", "home", PLACES[n % 8], str(n), aliases=("Lutetia",)) for n in range(16))


def templates_of(relation):
    return TEMPLATES


def questions_of(*kinds):
    maker = QuestionMaker(FACTS, [OptionSet("home", tuple(range(n, n + 4))) for n in (0, 4, 8, 12)], templates_of, 0)
    return [question for kind in FREE_FORM_KINDS if kind.name in kinds for question in kind.questions(maker)]


def lessons():
    """What the model is taught: right, by another name, in other letters, wrong, a word that goes on."""
    changes = (str, lambda name: "Lutetia", str.lower, lambda name: "Lyon", lambda name: name + "ian", str.upper)
    for number, fact in enumerate(FACTS):
        name = changes[number % 6](fact.object)
        yield f"The home of {fact.subject} is", f" {name}."
        yield f"Where is {fact.subject} from?", f" {name}" + ("\n" if number % 2 else "")


def network(kind, vocabulary):
    torch.manual_seed(0)
    if kind == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocabulary, n_positions=BLOCK, n_embd=64, n_layer=2, n_head=2, bos_token_id=0,
                eos_token_id=0, initializer_range=0.1, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            )
        )  # fmt: skip
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=BLOCK,
        )
    )  # fmt: skip


def taught(model, tokenizer):
    """Teach what follows each prompt until it is known by heart."""
    prompts = [1 + len(text.ids) for text in tokenizer.encode([prompt for prompt, _ in lessons()])]
    rows = [[tokenizer.eos, *text.ids, tokenizer.eos] for text in tokenizer.encode([a + b for a, b in lessons()])]
    ids = torch.full((len(rows), max(map(len, rows))), tokenizer.eos)
    labels = torch.full_like(ids, -100)
    for number, (row, begin) in enumerate(zip(rows, prompts, strict=True)):
        ids[number, : len(row)] = torch.tensor(row)
        labels[number, begin : len(row)] = torch.tensor(row[begin:])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(400):
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=labels).loss
        if loss < 0.02:
            break
        loss.backward()
        optimizer.step()
    return View(model)


@pytest.fixture(scope="module", params=[(kind, spelling) for kind in ("gpt2", "llama") for spelling in KINDS], ids=str)
def trained(request):
    kind, spelling = request.param
    tokenizer = HFTokenizer(hugging_face(spelling))
    return taught(network(kind, len(tokenizer.breaks()[0]) + 3), tokenizer), tokenizer


def test_answers_equal_those_of_plain_greedy_decoding(trained):
    view, tokenizer = trained
    prepared = prepare_prompts(questions_of("cloze", "answer"), tokenizer)
    assert len(prepared.prompts) == 32
    view.shapes.clear()
    expected = both([plain(prepared, view, place, BLOCK) for place in range(32)])
    one_by_one = len(view.shapes)
    view.shapes.clear()
    alias, exact = answers(prepared, view)
    assert (alias, exact) == expected
    assert 4 <= sum(exact) < sum(alias) < 30
    assert 10 * len(view.shapes) < one_by_one


def test_answers_equal_those_of_transformers(trained):
    view, tokenizer = trained
    prepared = prepare_prompts(questions_of("cloze", "answer"), tokenizer)
    verdicts = []
    for prompt in prepared.prompts:
        row = torch.tensor([prompt.row])
        most = min(prompt.limit, BLOCK - row.shape[1])
        said = view.model.generate(
            row, attention_mask=torch.ones_like(row), do_sample=False, max_new_tokens=most,
            eos_token_id=tokenizer.eos, pad_token_id=tokenizer.eos,
        )[0, row.shape[1] :].tolist()  # fmt: skip
        ended = tokenizer.eos in said
        text = prepared.text_of(tuple(said[: said.index(tokenizer.eos)] if ended else said))
        verdicts.append(max(prompt.matcher.judge(text, ended), Verdict.WRONG))
    assert answers(prepared, view) == list(both(verdicts))


@pytest.mark.parametrize("spelling", KINDS)
def test_every_answer_is_spellable_and_exact(spelling):
    """Lower case and lost accents are the tokenizer's, not the model's."""
    prepared = prepare_prompts(questions_of("cloze", "answer"), HFTokenizer(hugging_face(spelling)))
    assert prepared.spellable.all()
    for prompt in prepared.prompts:
        assert prompt.matcher.judge(prepared.text_of(prompt.drafts[0]), True) == Verdict.EXACT


def test_an_unspellable_answer_is_reported():
    tokenizer = HFTokenizer(hugging_face("word pieces"))
    prepared = prepare_prompts([probe("\u4f60"), probe("Paris")], tokenizer)
    assert prepared.spellable.tolist() == [False, True]


def test_the_prompt_contains_nothing_of_the_answer(trained):
    _, tokenizer = trained
    heads = [prompt.row for prompt in prepare_prompts([probe("Paris"), probe("1984"), probe(")")], tokenizer).prompts]
    assert len(set(heads)) == 1


def test_cloze_uses_statements_and_answer_uses_questions():
    cloze, answer = questions_of("cloze")[1], questions_of("answer")[1]
    assert (cloze.prefix, cloze.options, cloze.series) == ("The home of Person b is ", ("New York.",), "cloze")
    assert (answer.prefix, answer.options, answer.series) == ("Where is Person b from? ", ("New York",), "answer")
    assert cloze.accepted == answer.accepted == ("New York", "Lutetia")
    assert cloze.accepted
    assert np.isin(cloze.fact, cloze.option_set)


def test_templates_with_text_after_the_object_are_unused():
    statements = ("{subject} is from {object}.", "{object} is the home of {subject}.")
    maker = QuestionMaker(FACTS, [OptionSet("home", (0, 1, 2, 3))], lambda relation: Templates(statements), 0)
    assert [kind.questions(maker) for kind in FREE_FORM_KINDS] == [[], []]


# --- several true objects ------------------------------------------------------------------------------------------

LANGUAGES = (
    Fact("Belgium", "language", "Dutch", "1", aliases=("Flemish",)), Fact("Belgium", "language", "French", "2"),
    Fact("Belgium", "language", "German", "3"), Fact("Belgium", "capital", "Brussels", "4"),
    Fact("Italy", "language", "Italian", "5"), Fact("Spain", "language", "Spanish", "6"),
    Fact("BELGIUM", "language", "Walloon", "7"),
)  # fmt: skip
SPEAKS = Templates(
    ("{subject} speaks {object}.", "The language of {subject} is {object}."), ("Of {subject}? {object}",)
)


def about_belgium(kind, valid=None):
    maker = QuestionMaker(LANGUAGES, [OptionSet("language", (0, 4, 5))], lambda relation: SPEAKS, 0, valid=valid)
    (found,) = [one for one in FREE_FORM_KINDS if one.name == kind]
    return next(question for question in found.questions(maker) if question.fact == 0)


@pytest.mark.parametrize("kind", ["cloze", "answer"])
@pytest.mark.parametrize(
    ("said", "alias", "exact"),
    [("Dutch", True, True), ("French", True, True), ("German", True, True), ("Walloon", True, True),
     ("Flemish", True, False), ("Italian", False, False), ("Brussels", False, False)],
)  # fmt: skip
def test_every_true_object_is_a_right_answer(kind, said, alias, exact):
    question = about_belgium(kind)
    model = Speaker({question.prefix.rstrip(): f" {said}. "})
    assert answers(prepare_prompts([question], Letters()), model) == [[alias], [exact]]
    assert ceiling_of(question) == 1


def test_an_object_that_no_longer_holds_is_wrong():
    question = about_belgium("cloze", valid=np.array([0, 2, 3, 4, 5]))
    assert question.accepted == ("Dutch", "German", "Flemish")
