"""A probe shows the model the very ids that infusion puts into rows: BOS, EOS, spaces, and where scoring begins.

Nothing of how scoring works inside is looked at. The model is a real one whose logits depend on every token so far, so
the log-probability of an option is that of the infused ids only if it was shown these ids and nothing before or between
them; and since each token's log-probability is some nats, the sum shows from which token on it was taken.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from kis_plugin.config.schema import Config, InfusionConfig
from kis_plugin.knowledge.facts import Fact, Knowledge, Templates
from kis_plugin.retention.questions.distractors import OptionSet
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.retention.scoring.prepare import prepare
from kis_plugin.retention.scoring.scorer import Scorer
from kis_plugin.templates.load import load_templates
from kis_plugin.tokenized.infusion_split import InfusionSplit
from kis_plugin.tokenized.texts import load_texts
from kis_plugin.tokenized.tokenizer import HFTokenizer
from kis_torch.model_view import TorchModelView
from tests.world.model_tokenizers import MODELS, sentencepiece
from tests.world.tokenizers import EOS, KINDS, hugging_face

EXACT = 5e-4  # nats; tokens are worth some nats each

FORMS = {
    "in the middle": "In {subject}, {object} is the capital.",
    "at the end": "The capital of {subject} is {object}.",
    "at the end, no full stop": "The capital of {subject} is {object}",
    "first, subject last": "{object} is the capital of {subject}",
    "after a question": "What is the capital of {subject}? {object}",
    "in brackets": "{subject} (capital: {object}) is a country.",
    "after two spaces": "The capital of {subject} is  {object}.",
    "nothing between": "{subject}{object}",
}
HELD_OUT = "Told of {subject}: {object}."  # a relation needs one; it is not infused
NAMES = {
    "plain": [("France", "Paris"), ("Mali", "Bamako"), ("Japan", "Tokyo"), ("Niger", "Niamey")],
    "accents, CJK, right to left": [
        ("Österreich", "Zürich"),
        ("日本", "東京"),
        ("مصر", "القاهرة"),
        ("ישראל", "ירושלים"),
    ],
    "digits, punctuation, spaces": [("A", "3.14"), ("B", "(in Mali)"), ("C", " Lyon"), ("D", '"What?"')],
    "compatibility, joined accents": [
        ("\uff2d\uff41\uff4c\uff49", "ﬁn"),
        ("É", "E\u0301cole"),
        ("Å", "A\u030are"),
        ("ⅷ", "NAÏVE"),
    ],
    "beginning alike": [("A", "New York"), ("B", "New York City"), ("C", "New"), ("D", "Newark")],
}

ALL = {**{kind: (lambda kind=kind: hugging_face(kind)) for kind in KINDS}, **MODELS}
tokenizers = pytest.mark.parametrize("kind", ALL)
forms = pytest.mark.parametrize("form", FORMS)


@cache
def made(kind: str):
    return ALL[kind]()


@cache
def model():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=600, n_positions=128, n_embd=32, n_layer=2, n_head=2, initializer_range=0.3, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def facts_of(names) -> list[Fact]:
    return [Fact(subject, "capital", obj) for subject, obj in names]


def infused(facts, template, tokenizer) -> list[tuple[int, ...]]:
    """The ids of each fact's text as rows hold them, the separator behind it left out."""
    knowledge = Knowledge(tuple(facts), (), {"capital": Templates((template, HELD_OUT))})
    split = InfusionSplit(
        knowledge, load_templates(None, knowledge), np.arange(len(facts)), np.empty(0, dtype=np.int64),
        np.empty(0, dtype=np.int64), fingerprint="k",
    )  # fmt: skip
    config = Config(Path("facts.jsonl"), infusion=InfusionConfig(frequency=1, template_order="first"))
    items = load_texts(config, split, tokenizer, 128)
    rows = [items.tokens[a:b].tolist() for a, b in zip(items.offsets, items.offsets[1:], strict=False)]
    assert all(row[-1] == tokenizer.eos for row in rows)  # what stands before each but a row's first
    return [tuple(row[:-1]) for row in rows]


def questions_of(facts, template) -> list[Question]:
    options = OptionSet("capital", tuple(range(len(facts))))
    return QuestionMaker(facts, [options], lambda relation: Templates((template,)), 0).of_set("seen", options, template)


def scores_of(questions, tokenizer) -> np.ndarray:
    view = TorchModelView(model())
    with view.evaluating():
        return Scorer(prepare(questions, tokenizer)).score(view).logprobs


@torch.no_grad()
def token_logprobs(ids, context) -> list[float]:
    """Of each of ``ids`` behind ``context``, one row, no padding."""
    row = torch.tensor([[*context, *ids]])
    logprobs = model()(input_ids=row).logits[0].double().log_softmax(dim=-1)
    return [float(logprobs[at - 1, row[0, at]]) for at in range(len(context), row.shape[1])]


def first_scored(ids, total, eos) -> int:
    """The token of ``ids`` from which on ``total`` was summed behind EOS; fails if there is none."""
    ahead = token_logprobs(ids, [eos])
    sums = [0.0, *accumulate(reversed(ahead))][::-1]  # of what is left from each token on
    found = [at for at, rest in enumerate(sums) if abs(rest - total) < EXACT]
    assert len(found) == 1, f"{total:.3f} is not among {sums}: the model was shown something else than {ids}"
    return found[0]


def probed_and_infused(names, template, tokenizer):
    """For each question and option, the infused ids of the fact that the option would make, its score, its object."""
    facts = facts_of(names)
    scores = scores_of(questions_of(facts, template), tokenizer).tolist()  # (facts, facts)
    would_be = [Fact(fact.subject, "capital", other.object) for fact in facts for other in facts]
    rows = infused(would_be, template, tokenizer)
    for number, totals in enumerate(scores):
        ids = rows[number * len(facts) : (number + 1) * len(facts)]
        yield list(zip(ids, totals, [fact.object for fact in facts], strict=True))


@cache
def begun(kind, form, names):
    """The same for a kind of tokenizer, and the token from which on each option is scored."""
    tokenizer = HFTokenizer(made(kind))
    return [
        [(ids, obj, first_scored(ids, total, tokenizer.eos)) for ids, total, obj in options]
        for options in probed_and_infused(NAMES[names], FORMS[form], tokenizer)
    ]


@tokenizers
@forms
@pytest.mark.parametrize("names", NAMES)
def test_probe_rows_are_tokenized_as_infused_rows(kind, form, names):
    for options in begun(kind, form, names):
        (begin,) = {begin for _, _, begin in options}
        assert len({ids[:begin] for ids, _, _ in options}) == 1, "what is left out differs between options"


@tokenizers
@forms
@pytest.mark.parametrize("names", ["plain", "accents, CJK, right to left", "compatibility, joined accents"])
def test_scoring_begins_at_the_first_token_of_the_object(kind, form, names):
    """By decoding: all of the object is in what is scored, and a token later it would not be."""
    tokenizer = HFTokenizer(made(kind))
    unknown = {made(kind).convert_tokens_to_ids(token) for token in ("[UNK]", "<unk>")}
    looked_at = 0
    for options in begun(kind, form, names):
        exact = []
        for ids, obj, begin in options:
            if unknown & set(ids):  # they hide what they stand for
                continue
            assert _uniform(obj) in _uniform(tokenizer.decode(ids[begin:]))
            exact.append(begin == 0 or _uniform(obj) not in _uniform(tokenizer.decode(ids[begin + 1 :])))
        # Where an option changes how the prefix ends, it settles where scoring begins for all.
        assert any(exact) or not exact
        looked_at += len(exact)
    assert looked_at or names != "plain"


def _shared(rows) -> int:
    return next((at for at, ids in enumerate(zip(*rows, strict=False)) if len(set(ids)) > 1), min(map(len, rows)))


def _uniform(text: str) -> str:
    """Text without spaces and case, in one form: what tokenizers may change and decoders do not give back."""
    bare = "".join(unicodedata.normalize("NFKD", text).casefold().split())
    return "".join(letter for letter in bare if not unicodedata.combining(letter))


@tokenizers
def test_the_separator_is_the_only_special_token(kind):
    """lm-evaluation-harness #3333: with Gemma, BOS stood twice before every question."""
    tokenizer, special = HFTokenizer(made(kind)), set(made(kind).all_special_ids) - {made(kind).unk_token_id}
    others = [[bos, *more] for bos in sorted(special) for more in ([], [bos], [tokenizer.eos])]
    others = [context for context in others if context != [tokenizer.eos]]  # some models name one token both
    off = np.zeros(len(others))  # the most that a score would differ behind each
    for options in probed_and_infused(NAMES["plain"], FORMS["at the end"], tokenizer):
        for ids, total, _ in options:
            assert not special & set(ids)
            begin = first_scored(ids, total, tokenizer.eos)
            sums = [sum(token_logprobs(ids, context)[begin:]) for context in others]
            off = np.maximum(off, np.abs(np.array(sums) - total))
    assert (off > 10 * EXACT).all()


@tokenizers
def test_special_tokens_would_change_the_rows(kind):
    """The counterpart: most of these tokenizers do add special tokens when they are called as they are."""
    tokenizer, own = HFTokenizer(made(kind)), made(kind)
    (ids,) = infused(facts_of(NAMES["plain"][:1]), FORMS["at the end"], tokenizer)
    called = own("The capital of France is Paris.")["input_ids"]
    adds = own.backend_tokenizer.num_special_tokens_to_add(False)
    assert len(called) == len(ids) + adds
    assert adds == {"Llama": 1, "Llama, EOS too": 2, "Llama 3": 1, "Gemma": 1, "BERT": 2, "T5": 1}.get(kind, 0)


@pytest.mark.parametrize("kind", ["byte-level", "GPT-2", "GPT-2, space first", "Llama 3", "Gemma"])
def test_a_space_before_the_object_stays_with_it(kind):
    """lm-evaluation-harness #1053: a context tokenized by itself keeps its trailing space as a token of its own."""
    tokenizer = HFTokenizer(made(kind))
    question, _ = questions_of(facts_of([("France", "capital"), ("Mali", "city")]), FORMS["at the end, no full stop"])
    assert question.prefix.endswith(" ")
    assert not question.options[0].startswith(" ")
    texts = [question.prefix + question.options[0], question.prefix, question.options[0], question.prefix.rstrip()]
    whole, prefix, option, before = (text.ids for text in tokenizer.encode(texts))
    assert prefix + option != whole  # the trap is there
    total = float(scores_of([question], tokenizer)[0, 0])
    assert first_scored(whole, total, tokenizer.eos) == len(before)
    chunked = sum(token_logprobs(option, [tokenizer.eos, *prefix]))
    assert abs(chunked - total) > EXACT


@pytest.mark.parametrize("kind", ["byte-level", "GPT-2", "Llama 3", "Gemma", "Llama"])
@pytest.mark.parametrize(
    ("prefix", "options"),
    [
        ("The capital of Mali is Bam", ("ako.", "s.", "3.", "")),
        ("The capit", ("al of Mali", "ol of Mali")),
        ("The capital of France is ", ("Paris", " Paris", "3", "\nParis")),
    ],
)
def test_option_differences_are_those_of_whole_sentences(kind, prefix, options):
    tokenizer = HFTokenizer(made(kind))
    texts = [text.ids for text in tokenizer.encode([prefix + option for option in options])]
    scores = scores_of([Question(0, prefix, options, 0, "seen")], tokenizer)[0]
    whole = np.array([sum(token_logprobs(ids, [tokenizer.eos])) for ids in texts])
    np.testing.assert_allclose(scores - scores[0], whole - whole[0], atol=EXACT)
    begins = {first_scored(ids, float(total), tokenizer.eos) for ids, total in zip(texts, scores, strict=True)}
    assert begins == {min(_shared(texts), *begins)}


def test_all_options_are_scored_from_the_first_difference_on():
    """The trap of the test before is there: the prefix's last token is another with one of the options."""
    tokenizer = HFTokenizer(made("byte-level"))
    texts = [text.ids for text in tokenizer.encode([f"The capital of France is {end}" for end in ("Paris", "3")])]
    assert [tokenizer.decode(ids[_shared(texts) :]) for ids in texts] == [" Paris", " 3"]
    parts = tokenizer.encode(["The capit", "The capital of Mali"])
    assert parts[1].ids[: len(parts[0].ids)] != parts[0].ids


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("ﬁn", "fin"),
        ("\uff34\uff4f\uff4b\uff59\uff4f", "tokyo"),
        ("E\u0301cole", "école"),
        ("PARIS", "paris"),
        ("ⅷ", "viii"),
    ],
)
def test_a_normalizer_changes_probes_and_infusion_alike(said, meant):
    tokenizer = HFTokenizer(made("NFKC, lower case"))
    template = FORMS["at the end"]
    one, other = ([("Mali", obj), ("Japan", "Lyon")] for obj in (said, meant))
    assert infused(facts_of(one), template, tokenizer) == infused(facts_of(other), template, tokenizer)
    scores = [scores_of(questions_of(facts_of(names), template), tokenizer) for names in (one, other)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)
    plain = HFTokenizer(made("byte-level"))
    assert infused(facts_of(one), template, plain) != infused(facts_of(other), template, plain)


@pytest.mark.parametrize("kind", ["byte-level", "Llama", "Gemma", "BERT"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_truncation_and_padding_settings_have_no_effect(kind, side):
    facts, template = facts_of(NAMES["plain"]), FORMS["at the end"]
    expected = scores_of(questions_of(facts, template), HFTokenizer(made(kind)))
    rows = infused(facts, template, HFTokenizer(made(kind)))
    own = ALL[kind]()
    own.truncation_side = own.padding_side = side
    own.model_max_length = 4
    own.backend_tokenizer.enable_truncation(4, direction=side)
    own.backend_tokenizer.enable_padding(direction=side, length=40, pad_id=own.eos_token_id, pad_token=EOS)
    wrapped = HFTokenizer(own)
    assert len(own.backend_tokenizer.encode("The capital of Mali").ids) == 40  # the settings are there
    assert infused(facts, template, wrapped) == rows
    np.testing.assert_array_equal(scores_of(questions_of(facts, template), wrapped), expected)
    assert own.backend_tokenizer.truncation["max_length"] == 4
    assert own.backend_tokenizer.padding["length"] == 40


@tokenizers
def test_the_separator_is_context_and_never_scored(kind):
    tokenizer = HFTokenizer(made(kind))
    assert tokenizer.eos == made(kind).eos_token_id
    for options in probed_and_infused(NAMES["plain"], FORMS["at the end, no full stop"], tokenizer):
        for ids, total, _ in options:
            begin = first_scored(ids, total, tokenizer.eos)
            with_end = sum(token_logprobs([*ids, tokenizer.eos], [tokenizer.eos])[begin:])
            assert with_end < total - EXACT


def test_sentencepiece_gives_its_own_pieces(tmp_path):
    """Their package's own encoding, of the very sentences: nobody here wrote it."""
    pytest.importorskip("sentencepiece")
    pytest.importorskip("google.protobuf")
    own, converted = sentencepiece(tmp_path)
    assert converted("Mali")["input_ids"][0] == own.bos_id()  # the trap is there
    tokenizer = HFTokenizer(converted)
    for names in ("plain", "accents, CJK, right to left", "beginning alike"):
        for form in ("in the middle", "at the end", "first, subject last", "after a question"):
            facts, template = facts_of(NAMES[names]), FORMS[form]
            rows = infused(facts, template, tokenizer)
            assert [list(ids) for ids in rows] == own.encode(
                [template.format(subject=fact.subject, object=fact.object) for fact in facts]
            )
            for options in probed_and_infused(NAMES[names], template, tokenizer):
                assert len({first_scored(ids, total, own.eos_id()) for ids, total, _ in options}) == 1
