"""The tokens that all runs share: complete documents with EOS after each, and a held-out end that no run reads."""

from __future__ import annotations

import numpy as np
import pytest

from kis_plugin.errors import KISError

pytest.importorskip("tokenizers")
pytest.importorskip("transformers")

from kis_plugin.tokenized.load_tokenizer import load_tokenizer
from kis_sweep.base_data import encode_text, held_out_of, train_tokenizer

TEXT = "the cat sat on a mat while seven dogs ran around every old house in town and nobody knew why"
WORDS = TEXT.split()
DOCUMENTS = [" ".join(WORDS[(n * k) % len(WORDS)] for k in range(1, 60)) + "." for n in range(1, 40)]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\f".join(DOCUMENTS))
    return path


@pytest.fixture(scope="module")
def tokenizer(text):
    folder = text.parent / "tokenizer"
    train_tokenizer([text], 300, folder, lambda *_: None)
    return load_tokenizer(str(folder))


def test_documents_are_concatenated_with_eos_after_each(text, tokenizer, tmp_path):
    seen = []
    count = encode_text([text], tokenizer, tmp_path / "text.npy", lambda *progress: seen.append(progress))
    tokens = np.load(tmp_path / "text.npy")
    assert count == len(tokens)
    ends = np.flatnonzero(tokens == tokenizer.eos)
    parts = np.split(tokens, ends + 1)[:-1]
    assert [tokenizer.decode(part[:-1].tolist()) for part in parts] == DOCUMENTS
    assert ends[-1] == len(tokens) - 1
    assert seen[-1][1] == seen[-1][2] == text.stat().st_size


def test_long_document_is_read_in_parts_and_ends_once(text, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr("kis_sweep.base_data.LONGEST", 100)
    encode_text([text], tokenizer, tmp_path / "text.npy", lambda *_: None)
    tokens = np.load(tmp_path / "text.npy")
    assert np.count_nonzero(tokens == tokenizer.eos) == len(DOCUMENTS)
    assert tokenizer.decode(tokens[tokens != tokenizer.eos].tolist()) == "".join(DOCUMENTS)


def test_documents_begin_with_bos_where_the_configuration_says_so(text, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr("kis_sweep.base_data.LONGEST", 100)  # long documents come in parts
    bos = 299
    encode_text([text], tokenizer, tmp_path / "text.npy", lambda *_: None, bos)
    tokens = np.load(tmp_path / "text.npy").tolist()
    encode_text([text], tokenizer, tmp_path / "plain.npy", lambda *_: None)
    expected = [bos]
    for token in np.load(tmp_path / "plain.npy").tolist():
        expected += [token, bos] if token == tokenizer.eos else [token]
    assert tokens == expected[:-1]


def test_end_of_the_text_is_held_out(text, tokenizer, tmp_path):
    path, held_out = tmp_path / "text.npy", tmp_path / "held_out.npy"
    encode_text([text], tokenizer, path, lambda *_: None)
    whole = np.load(path)
    kept, taken = held_out_of(path, held_out, 0.01, 64)
    assert (kept, taken) == (len(whole) - 64, 64)
    assert np.concatenate([np.load(path), np.load(held_out)]).tolist() == whole.tolist()
    with pytest.raises(KISError, match="Give more text"):
        held_out_of(path, tmp_path / "again.npy", 0.01, len(whole))


def test_text_too_short_for_the_vocabulary_is_refused(text, tmp_path):
    with pytest.raises(KISError, match="--vocabulary"):
        train_tokenizer([text], 8192, tmp_path / "tokenizer", lambda *_: None)
