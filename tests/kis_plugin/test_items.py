"""Facts and passages as tokens: every wording of every fact, and passages parted where a sentence ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kis_plugin.config import Config, InfusionConfig
from kis_plugin.errors import KISError
from kis_plugin.items import load_items
from kis_plugin.knowledge import Fact, Knowledge, Passage
from kis_plugin.sentences import Encoded, flat, judged, render
from kis_plugin.template_book import TemplateBook

EOS = 0


class CharTokenizer:
    """One token a character; EOS is 0."""

    eos = EOS
    fingerprint = "chars"

    def encode(self, texts):
        return [Encoded(tuple(map(ord, text)), tuple(range(1, len(text) + 1))) for text in texts]

    def encode_ids(self, texts):
        return flat([list(map(ord, text)) for text in texts])

    def decode(self, ids):
        return "".join(map(chr, ids))

    def breaks(self):
        return judged([chr(i) for i in range(1 << 12)])


@dataclass(frozen=True)
class StubMaterial:
    knowledge: Knowledge
    book: TemplateBook
    infused: np.ndarray
    passages_told: np.ndarray
    fingerprint: str = "k"
    cache: Path | None = None


def material(facts=(), passages=(), infused=None, told=None, cache=None):
    knowledge = Knowledge(tuple(facts), tuple(passages))
    return StubMaterial(
        knowledge,
        TemplateBook.load(None, knowledge),
        np.arange(len(facts)) if infused is None else np.array(infused, dtype=np.int64),
        np.arange(len(passages)) if told is None else np.array(told, dtype=np.int64),
        cache=cache,
    )


def build(facts=(), passages=(), block=64, tokenizer=None, cache=None, infused=None, told=None, **infusion):
    config = Config(Path("facts.jsonl"), infusion=InfusionConfig(frequency=1, **infusion))
    return load_items(config, material(facts, passages, infused, told, cache), tokenizer or CharTokenizer(), block)


def texts_of(items, eos=EOS):
    parts = [items.tokens[a:b] for a, b in zip(items.offsets, items.offsets[1:], strict=False)]
    if eos is not None:
        assert all(part[-1] == eos for part in parts)
        parts = [part[:-1] for part in parts]
    return ["".join(map(chr, part.tolist())) for part in parts]


LYON = Fact("Lyon", "P17", "France")


def test_a_fact_is_told_in_each_of_its_training_sentences():
    trained = TemplateBook.load(None, Knowledge((LYON,))).of("P17").trained
    assert len(trained) >= 2
    items = build([LYON])
    assert (len(items), items.wordings, items.own.tolist()) == (1, len(trained), [len(trained)])
    assert texts_of(items) == [render(template, LYON) for template in trained]
    assert texts_of(build([LYON], templates="one")) == [render(trained[0], LYON)]


def test_a_sentence_longer_than_a_row_is_refused_by_name():
    with pytest.raises(KISError, match=r"fact long-one: found a sentence of \d+ tokens.*expected 1 to 31 tokens"):
        build([Fact("x" * 60, "P17", "France", "long-one")], block=32)


def test_a_passage_is_parted_between_sentences():
    passage = Passage("One two three. Four five six! Seven eight nine ten eleven.", "p")
    assert texts_of(build(passages=[passage], block=32)) == [
        "One two three. Four five six!",
        " Seven eight nine ten eleven.",
    ]
    assert build(passages=[passage]).entry.tolist() == [0]


@given(st.text(st.sampled_from("ab .!?\n"), min_size=1, max_size=200), st.integers(8, 40))
def test_pieces_of_a_passage_are_all_of_it_and_fit(text, block):
    assume(max(map(len, re.split(r"\s", text))) < block - 1)
    pieces = texts_of(build(passages=[Passage(text, "p")], block=block))
    assert "".join(pieces) == text
    assert max(map(len, pieces)) < block


def test_a_word_longer_than_a_row_is_refused():
    with pytest.raises(KISError, match="passage p: found no place to part it for 15 tokens after 'xxxx"):
        build(passages=[Passage("x" * 40, "p")], block=16)
