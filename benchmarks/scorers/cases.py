"""The model and the questions of the contest, made here: nothing is fetched, and every length is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scorers.contract import Item
from kis_sweep.base_data import byte_level

__all__ = ["KINDS", "Case", "make_model", "make_texts", "make_tokenizer"]

EOS = "<|endoftext|>"
VOCABULARY = 8192
WORDS = 1200  # made; those that are one token with and without a space before them are used
OPTIONS = 4
SUBJECT, BEHIND = 2, 4  # tokens of a subject, and of the template between subject and object
KINDS = ("distinct", "template")
"""``distinct``: prefixes of different words. ``template``: a relation's sentence with the subject near its end, facts
in balanced sets as KIS forms them, so that most of a prefix is that of its relation."""


@dataclass(frozen=True)
class Case:
    """What is scored.

    Attributes:
        kind: One of ``KINDS``.
        prefix: Tokens of a prefix; the EOS before it is not counted.
        items: Questions, of four options with two tokens each.
    """

    kind: str
    prefix: int
    items: int


def made_words(count: int, seed: int = 0) -> list[str]:
    """Return distinct words that can be pronounced."""
    draw = np.random.default_rng(seed)
    consonants, vowels = "bdfgklmnprstvz", "aeiou"
    words: dict[str, None] = {}
    while len(words) < count:
        word = "".join(str(draw.choice(list(letters))) for letters in (consonants, vowels, consonants, vowels, "nrst"))
        words[word] = None
    return list(words)


def make_tokenizer() -> tuple[Any, list[str]]:
    """Train a byte-level BPE as GPT-2 has one; return it and the words that are one token in any place.

    Its post-processor puts EOS before a text: the context of infused sentences. KIS's path leaves it out and puts EOS
    there by itself; peers add special tokens.
    """
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    words = made_words(WORDS)
    tokenizer = byte_level([f"{word} {word}" for word in words], VOCABULARY, EOS)
    single = [word for word in words if len(tokenizer.encode(f"{word} {word}").ids) == 2]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{EOS} $A", special_tokens=[(EOS, tokenizer.token_to_id(EOS))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=EOS, eos_token=EOS, pad_token=EOS), single


def make_model(folder: Path, tokenizer: Any) -> None:
    """Write a random GPT-2 of 4 layers and 256 dimensions, its weights large enough for options to differ by nats."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=512,
        n_embd=256,
        n_layer=4,
        n_head=4,
        initializer_range=0.1,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_texts(case: Case, tokenizer: Any, words: list[str]) -> list[Item]:
    """Make the questions of a case, and check their lengths.

    Raises:
        ValueError: A prefix or an option of another length than requested.
    """
    items = (_distinct if case.kind == "distinct" else _from_templates)(case, words)
    for item in items:
        prefix, *options = (
            len(tokenizer(text, add_special_tokens=False)["input_ids"])
            for text in (item.prefix.rstrip(), *(item.prefix + option for option in item.options))
        )
        if prefix != case.prefix or any(length != prefix + 2 for length in options):
            raise ValueError(f"{item}: {prefix} tokens, then {options}")
    if len(items) != case.items:
        raise ValueError(f"{len(items)} items, not {case.items}")
    return items


def _distinct(case: Case, words: list[str]) -> list[Item]:
    draw = np.random.default_rng([1, case.prefix])
    first = np.resize(draw.permutation(len(words)), case.items)
    items = []
    for number in range(case.items):
        rest = draw.integers(len(words), size=case.prefix - 1)
        objects = draw.choice(len(words), (OPTIONS, 2), replace=False)
        prefix = " ".join(words[at] for at in [first[number], *rest]) + " "
        options = tuple(f"{words[one]} {words[two]}" for one, two in objects)
        items.append(Item(prefix, options, int(draw.integers(OPTIONS))))
    return items


def _from_templates(case: Case, words: list[str], relations: int = 8, objects: int = 16) -> list[Item]:
    from kis_plugin.knowledge.facts import Fact
    from kis_plugin.retention.questions.distractors import option_sets
    from kis_plugin.retention.questions.question_maker import QuestionMaker

    draw = np.random.default_rng([2, case.prefix])

    def phrase(length: int) -> str:
        return " ".join(words[at] for at in draw.choice(len(words), length))

    def names(count: int) -> list[str]:
        pairs = draw.choice(len(words) ** 2, count, replace=False)
        return [f"{words[pair // len(words)]} {words[pair % len(words)]}" for pair in pairs.tolist()]

    sentences = {}
    facts = []
    subjects = names(2 * case.items)
    for relation in range(relations):
        head = phrase(case.prefix - SUBJECT - BEHIND)
        sentences[f"R{relation}"] = f"{head} {{subject}} {phrase(BEHIND)} {{object}}"
        known = names(objects)
        members = subjects[relation::relations]
        facts += [Fact(subject, f"R{relation}", known[at % objects]) for at, subject in enumerate(members)]
    sets = option_sets(facts, np.arange(len(facts)), OPTIONS, case.items, 0).sets
    maker = QuestionMaker(facts, sets, lambda relation: None, 0)  # type: ignore[arg-type, return-value]
    questions = [question for one in sets for question in maker.of_set("held_out", one, sentences[one.relation])]
    return [Item(question.prefix, question.options, question.answer) for question in questions]
