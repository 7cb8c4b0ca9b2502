"""LitGPT's tokenizers as the core sees them: the host's own ids by every way, and where sentences end."""

from __future__ import annotations

import pytest
from litgpt import Tokenizer

from kis_litgpt.tokenizer import LitTokenizer
from kis_plugin.errors import KISError
from tests.world.tokenizers import write_lit_tokenizer

TEXTS = ["Person3 was born in Town3.", "Ségou river", ""]


@pytest.fixture
def host(tmp_path) -> Tokenizer:
    """A tokenizer.json, as LitGPT reads most models'."""
    return Tokenizer(write_lit_tokenizer(tmp_path))


@pytest.fixture
def sentencepiece_host(tmp_path) -> Tokenizer:
    """A tokenizer.model, as of Llama 2."""
    sentencepiece = pytest.importorskip("sentencepiece")
    text = [f"Person{n} was born in Town{n % 8}. Ségou lies on the river Niger." for n in range(200)]
    with (tmp_path / "tokenizer.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(text),
            model_writer=file,
            vocab_size=300,
            character_coverage=1.0,
            byte_fallback=True,
            hard_vocab_limit=False,
            minloglevel=2,
        )
    return Tokenizer(tmp_path)


def parts(ids, lengths):
    parts, at = [], 0
    for length in lengths.tolist():
        parts.append(ids[at : at + length].tolist())
        at += length
    return parts


def test_ids_without_offsets_are_litgpts_own(host):
    ours = LitTokenizer(host)
    assert parts(*ours.encode_ids(TEXTS)) == [host.encode(text).tolist() for text in TEXTS]


def test_sentencepiece_ids_without_offsets_are_litgpts_own(sentencepiece_host):
    ours = LitTokenizer(sentencepiece_host)
    assert parts(*ours.encode_ids(TEXTS)) == [sentencepiece_host.encode(text).tolist() for text in TEXTS]


def test_the_files_truncation_is_off_for_infused_text(host):
    full = parts(*LitTokenizer(host).encode_ids(TEXTS))
    before = LitTokenizer(host).fingerprint
    host.processor.enable_truncation(2)
    ours = LitTokenizer(host)
    assert parts(*ours.encode_ids(TEXTS)) == full == [list(one.ids) for one in ours.encode(TEXTS)]
    assert host.processor.truncation["max_length"] == 2
    assert ours.fingerprint == before


def test_tokens_are_judged_and_read_back(host):
    ours = LitTokenizer(host)
    ends, starts = ours.breaks()
    assert len(ends) == len(starts) == ours.vocabulary
    ids = ours.encode(["was born in Town3."])[0].ids
    assert ours.decode(ids) == "was born in Town3."
    assert (ends[ids[-1]], ends[ids[0]], starts[ids[0]]) == (True, False, False)
    assert starts[ours.encode(["a was"])[0].ids[1]]
    assert not ends[ours.eos]


def test_sentencepiece_tokens_are_judged_and_read_back(sentencepiece_host):
    ours = LitTokenizer(sentencepiece_host)
    ends, starts = ours.breaks()
    assert len(ends) == len(starts) == ours.vocabulary
    one = ours.encode(["Person3 was born in Town3."])[0]
    assert ours.decode(one.ids) == "Person3 was born in Town3."
    assert (ends[one.ids[-1]], starts[one.ids[0]]) == (True, True)
    assert len(one.starts) == len(one.ids)
    new_line = sentencepiece_host.processor.piece_to_id("<0x0A>")
    assert (ends[new_line], starts[new_line]) == (True, True)
    assert not ends[ours.eos]


def test_a_backend_that_is_not_known_is_refused(host):
    host.backend = "other"
    with pytest.raises(KISError, match="found the backend 'other', expected huggingface or sentencepiece"):
        LitTokenizer(host)
