"""Facts and passages as tokens: whole sentences, and passages parted where a sentence ends."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_plugin.items import build_items
from kis_plugin.knowledge import Fact, Knowledge, Passage
from kis_plugin.sentences import Encoded, render
from kis_plugin.template_book import TemplateBook

EOS = 0


class CharTokenizer:
    """One token a character; EOS is 0."""

    eos = EOS
    fingerprint = "chars"

    def encode(self, texts):
        return [Encoded(tuple(map(ord, text)), tuple(range(1, len(text) + 1))) for text in texts]


def texts_of(items):
    parts = [items.tokens[a:b] for a, b in zip(items.offsets, items.offsets[1:], strict=False)]
    assert all(part[-1] == EOS for part in parts)
    return ["".join(map(chr, part[:-1].tolist())) for part in parts]


def build(facts=(), passages=(), block=64, variant=0):
    return build_items(
        facts, passages, TemplateBook.load(None, Knowledge(tuple(facts))), CharTokenizer(), block, variant
    )


def test_a_fact_is_its_training_sentence_and_variants_take_the_next():
    fact = Fact("Lyon", "P17", "France")
    trained = TemplateBook.load(None, Knowledge((fact,))).of("P17").trained
    assert len(trained) >= 2
    assert [texts_of(build([fact], variant=v))[0] for v in range(len(trained))] == [render(t, fact) for t in trained]
    assert texts_of(build([fact], variant=len(trained))) == texts_of(build([fact]))


def test_a_sentence_longer_than_a_row_is_refused_by_name():
    with pytest.raises(KISError, match=r"fact long-one: found a sentence of \d+ tokens.*expected 1 to 31 tokens"):
        build([Fact("x" * 60, "P17", "France", "long-one")], block=32)


def test_a_passage_is_parted_between_sentences():
    passage = Passage("One two three. Four five six! Seven eight nine ten eleven.", "p")
    assert texts_of(build(passages=[passage], block=32)) == [
        "One two three. Four five six!",
        " Seven eight nine ten eleven.",
    ]
    assert build(passages=[passage]).facts == 1


@given(st.text(st.sampled_from("ab .!?\n"), min_size=1, max_size=200), st.integers(8, 40))
def test_pieces_of_a_passage_are_all_of_it_and_fit(text, block):
    assume(max(map(len, re.split(r"\s", text))) < block - 1)
    pieces = texts_of(build(passages=[Passage(text, "p")], block=block))
    assert "".join(pieces) == text
    assert max(map(len, pieces)) < block


def test_a_word_longer_than_a_row_is_refused():
    with pytest.raises(KISError, match="passage p: found no place to part it for 15 tokens after 'xxxx"):
        build(passages=[Passage("x" * 40, "p")], block=16)


def test_items_have_a_fingerprint_of_every_token():
    one, other = Fact("Lyon", "P17", "France"), Fact("Lyon", "P17", "Franca")
    assert build([one]).fingerprint == build([one]).fingerprint != build([other]).fingerprint
    assert build([one]).lengths.tolist() == [len(build([one]).tokens)]
    assert build([]).lengths.tolist() == np.zeros(0).tolist()
