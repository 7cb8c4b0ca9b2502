"""Text to tokens: the same ids by every way, whatever the user set on the tokenizer, and where sentences end."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_plugin.tokenized.tokenizer import HFTokenizer, sentence_breaks
from tests.world.tokenizers import KINDS, TEXT, hugging_face

kinds = pytest.mark.parametrize("kind", KINDS)
TEXTS = ["Lyon is in France.", "", "東京", "Ségou: naïve 😀 Zürich.", "two\nlines \t end ", *TEXT[:3]]


@cache
def wrapped(kind: str) -> HFTokenizer:
    return HFTokenizer(hugging_face(kind))


def parts(ids, lengths):
    ends = np.cumsum(lengths)
    return [ids[end - length : end].tolist() for end, length in zip(ends, lengths, strict=True)]


@kinds
def test_ids_are_the_tokenizers_own_by_both_ways(kind):
    plain = hugging_face(kind)
    own = [plain(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    ours = HFTokenizer(plain)
    assert [list(one.ids) for one in ours.encode(TEXTS)] == own
    ids, lengths = ours.encode_ids(TEXTS)
    assert (ids.dtype, lengths.dtype) == (np.int32, np.int64)
    assert parts(ids, lengths) == own


@kinds
@given(st.lists(st.text(max_size=40), max_size=6))
def test_ids_without_offsets_are_those_with_them(kind, texts):
    ids, lengths = wrapped(kind).encode_ids(texts)
    assert parts(ids, lengths) == [list(one.ids) for one in wrapped(kind).encode(texts)]


@kinds
def test_offsets_lie_in_the_text_and_in_order(kind):
    for text, one in zip(TEXTS, wrapped(kind).encode(TEXTS), strict=True):
        assert len(one.ids) == len(one.starts) == len(one.ends)
        assert all(0 <= start <= end <= len(text) for start, end in zip(one.starts, one.ends, strict=True))
        assert list(one.ends) == sorted(one.ends)


@kinds
def test_the_users_truncation_and_padding_are_kept(kind):
    plain = hugging_face(kind)
    plain.pad_token = plain.eos_token
    before = HFTokenizer(plain)
    expected = before.encode_ids(TEXTS)
    plain(TEXTS[:2], truncation=True, max_length=3, padding=True)  # transformers keeps both on its backend
    assert plain.backend_tokenizer.truncation
    assert plain.backend_tokenizer.padding
    after = HFTokenizer(plain)
    for tokenizer in (before, after):
        ids, lengths = tokenizer.encode_ids(TEXTS)
        assert ids.tolist() == expected[0].tolist()
        assert lengths.tolist() == expected[1].tolist()
        assert [list(one.ids) for one in tokenizer.encode(TEXTS)] == parts(ids, lengths)
    assert plain.backend_tokenizer.truncation["max_length"] == 3, "the user's setting was changed"
    assert after.fingerprint == before.fingerprint


def test_the_fingerprint_changes_with_other_ids():
    assert HFTokenizer(hugging_face("byte-level")).fingerprint == wrapped("byte-level").fingerprint
    assert wrapped("metaspace").fingerprint != wrapped("byte-level").fingerprint
    more = hugging_face("byte-level")
    more.add_tokens(["Lyon"])
    assert HFTokenizer(more).fingerprint != wrapped("byte-level").fingerprint
    other = hugging_face("byte-level")
    other.eos_token = "."
    assert HFTokenizer(other).fingerprint != wrapped("byte-level").fingerprint


@pytest.mark.parametrize("kind", ["byte-level", "metaspace"])
def test_text_comes_back_from_its_tokens(kind):
    for text in TEXTS:
        ids, _ = wrapped(kind).encode_ids([text])
        assert wrapped(kind).decode(ids.tolist()) == text


@kinds
def test_special_tokens_are_shown(kind):
    ours = wrapped(kind)
    assert "<eos>" in ours.decode([*ours.encode_ids(["Lyon"])[0].tolist(), ours.eos])


@kinds
def test_every_token_is_judged_as_it_reads_in_a_text(kind):
    ours, plain = wrapped(kind), hugging_face(kind)
    ends, starts = ours.breaks()
    vocabulary = plain.get_vocab()
    assert len(ends) == len(starts) == max(vocabulary.values()) + 1
    assert ends[vocabulary["."]]
    assert not ends[[vocabulary["a"], ours.eos]].any()
    stop, article = (ours.encode([f"France{text}"])[0].ids[-1] for text in (".", " a"))
    assert ends[stop]
    assert (ends[article], starts[article]) == (False, True)


def test_a_space_is_found_however_it_is_written():
    for kind, token in (("byte-level", "Ġis"), ("metaspace", "▁is"), ("word pieces", "is")):
        ends, starts = wrapped(kind).breaks()
        at = hugging_face(kind).get_vocab()[token]
        assert (ends[at], starts[at]) == (False, True), kind


def test_a_new_line_ends_a_sentence_also_as_a_byte():
    for kind, token in (("byte-level", "Ċ"), ("metaspace", "<0x0A>")):
        ends, starts = wrapped(kind).breaks()
        at = hugging_face(kind).get_vocab()[token]
        assert (ends[at], starts[at]) == (True, True), kind


@pytest.mark.parametrize(
    ("text", "ends", "starts"),
    [
        (".", True, False),
        ('."', True, False),
        ("?)", True, False),
        ("!\u201d", True, False),
        (" word.", True, True),
        (". ", True, False),
        ("\n\n", True, True),
        (".5", False, False),
        ("e.g", False, False),
        ('"', False, False),
        ("", False, False),
        ("\u00a0a", False, True),
    ],
)
def test_what_ends_a_sentence(text, ends, starts):
    assert [sentence_breaks([text])[0].tolist(), sentence_breaks([text])[1].tolist()] == [[ends], [starts]]


def test_a_tokenizer_that_cannot_part_sentences_is_refused():
    without = hugging_face("byte-level")
    without.eos_token = None
    with pytest.raises(KISError, match="found no EOS token"):
        HFTokenizer(without)
    with pytest.raises(KISError, match="found a slow tokenizer"):
        HFTokenizer(object())
