"""Facts that a tokenizer reads as another fact, or as control tokens, are refused with their names."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from kis_plugin.config.schema import Config, InfusionConfig
from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Fact, Knowledge, Passage, Templates
from kis_plugin.templates.book import Layer, TemplateBook
from kis_plugin.templates.load import load_templates
from kis_plugin.tokenized.infusion_split import InfusionSplit
from kis_plugin.tokenized.name_checks import refuse_unreadable_names
from kis_plugin.tokenized.texts import load_texts
from kis_plugin.tokenized.tokenizer import HFTokenizer
from tests.world.tokenizers import hugging_face

BOOK = TemplateBook([Layer("test", {"*": Templates(("{subject} {relation} {object}.", "{object}: {subject}."))})])


def tokenizer(normalizer=None, special=("<eos>",), added=()):
    backend = Tokenizer(models.BPE())
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        special_tokens=list(special), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), vocab_size=300
    )
    backend.train_from_iterator(["some text"], trainer)
    backend.add_tokens([AddedToken(token, special=False) for token in added])
    return HFTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>"))


def pair(one: str, other: str) -> list[Fact]:
    return [Fact(one, "P19", "Town", "a"), Fact("Someone", "P19", "Else", "b"), Fact(other, "P19", "Town", "c")]


def refusal(facts, using, passages=(), book=BOOK) -> str:
    with pytest.raises(KISError) as caught:
        refuse_unreadable_names(facts, passages, book, using)
    return str(caught.value)


@pytest.mark.parametrize(
    ("normalizer", "one", "other"),
    [
        (normalizers.Lowercase(), "Polish", "polish"),
        (normalizers.NFKC(), "ﬁeld", "field"),
        (normalizers.NFKC(), "Ｘ", "X"),  # noqa: RUF001
        (normalizers.NFKC(), "x²", "x2"),
        (normalizers.BertNormalizer(lowercase=True), "Zoë", "zoe"),
        (normalizers.NFC(), "Zoë", unicodedata.normalize("NFD", "Zoë")),
        (normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]), "Müller", "Muller"),
    ],
)
def test_facts_that_the_tokenizer_reads_alike_are_refused(normalizer, one, other):
    said = refusal(pair(one, other), tokenizer(normalizer))
    assert said.startswith("fact 'c': found ")
    assert "the same text to the tokenizer as fact 'a', expected each fact once" in said


@pytest.mark.parametrize(("one", "other"), [("Polish", "polish"), ("ﬁeld", "field"), ("Zoë", "Zoe"), ("x²", "x2")])
def test_facts_that_the_tokenizer_distinguishes_are_two(one, other):
    refuse_unreadable_names(pair(one, other), (), BOOK, tokenizer())
    refuse_unreadable_names(pair(one, other), (), BOOK, tokenizer(normalizers.NFC()))


@pytest.mark.parametrize("token", ["<eos>", "<|im_start|>", "<s>", "[ENT]", "<ent>", "@@user@@"])
def test_text_of_control_tokens_is_refused_with_the_token(token):
    using = tokenizer(special=("<eos>", "<|im_start|>", "<s>"), added=("[ENT]", "<ent>", "@@user@@"))
    for facts in ([Fact(f"the tag {token} no 1", "P19", "Town1", "a")], [Fact("x", "P19", f"{token}", "a")]):
        said = refusal(facts, using)
        assert f"fact 'a': found the text of the token {token!r}" in said
    assert f"passage 'p': found the text of the token {token!r}" in refusal(
        [], using, [Passage(f"some text {token} and more", "p")]
    )
    book = TemplateBook([Layer("test", {"*": Templates((f"{{subject}} {token} {{object}}.", "{object}: {subject}."))})])
    assert f"found the text of the token {token!r}" in refusal([Fact("x", "P19", "y", "a")], using, book=book)


def test_words_added_to_the_vocabulary_are_text():
    using = tokenizer(added=("aspirin", "New York", "O'Neill", "  "))
    refuse_unreadable_names([Fact("aspirin of O'Neill", "P19", "New York", "a")], (), BOOK, using)


def test_many_refusals_are_counted():
    facts = [Fact(f"<s> {number}", "P19", "Town", str(number)) for number in range(50)]
    assert "and 30 more" in refusal(facts, tokenizer(special=("<eos>", "<s>")))


def test_a_tokenizer_without_rules_is_taken_as_it_is():
    refuse_unreadable_names(pair("a", "A"), (), BOOK, object())  # type: ignore[arg-type]


def infused(facts, using, templates):
    knowledge = Knowledge(tuple(facts), (), {"P19": Templates(templates)})
    none = np.empty(0, dtype=np.int64)
    split = InfusionSplit(
        knowledge, load_templates(None, knowledge), np.arange(len(facts)), none, none, fingerprint="k"
    )
    config = Config(Path("facts.jsonl"), infusion=InfusionConfig(frequency=1, template_order="first"))
    return load_texts(config, split, using, 64)


@pytest.mark.parametrize(
    ("subject", "template"),
    [
        ("the <TAG> no 1", "{subject} is in {object}."),  # the tokenizer makes it <tag> first
        ("the <t", "{subject}ag> is in {object}."),  # name and template make it together
    ],
)
def test_control_tokens_that_only_the_sentence_shows_are_refused(subject, template):
    using = tokenizer(normalizers.Lowercase())
    backend = using._backend._given
    backend.add_tokens([AddedToken("<tag>", special=False, normalized=True)])
    using = HFTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>"))
    facts = [Fact("A", "P19", "Town", "a"), Fact(subject, "P19", "Town", "b")]
    with pytest.raises(
        KISError, match=r"tokenizer: found the token '<tag>' in 'the <.*, expected text without special"
    ):
        infused(facts, using, (template, "Of {subject}: {object}."))
    infused(facts[:1], using, (template, "Of {subject}: {object}."))


def test_unknown_characters_are_no_control_tokens():
    using = HFTokenizer(hugging_face("word pieces"))
    assert "[UNK]" in using.reserved
    infused([Fact("東京", "P19", "Town", "a")], using, ("{subject} is in {object}.", "Of {subject}: {object}."))
