"""Small tokenizers of the kinds that models use, trained in a moment, and the one of the small runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.world.facts import FACTS, WORDS

TEXT = [
    "Lyon is a city in France. Ségou lies on the river Niger (in Mali). What? 東京 is the capital of Japan!",
    'She said: "It is {so}." Then 3.14 was e.g. a number.\nA new line begins. Österreich, Zürich, naïve.',
    "The capital of France is Paris. The capital of Mali is Bamako. The capital of Japan is Tokyo.",
] * 4
EOS = "<eos>"


def byte_level(texts: Iterable[str] = TEXT, size: int = 400) -> Tokenizer:
    """As of GPT-2: spaces belong to the word after them, a character may be several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=[EOS], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def metaspace() -> Tokenizer:
    """As sentencepiece makes them: a space in front of every text, unknown characters as bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    special = ["<unk>", EOS, *[f"<0x{byte:02X}>" for byte in range(256)]]
    tokenizer.train_from_iterator(
        [text.replace("\n", " ") for text in TEXT],
        trainers.BpeTrainer(vocab_size=500, special_tokens=special, limit_alphabet=40, show_progress=False),
    )
    return tokenizer


def word_pieces() -> Tokenizer:
    """As of BERT: lower case, no token for a space."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]", EOS], show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


KINDS = {"byte-level": byte_level, "metaspace": metaspace, "word pieces": word_pieces}


@cache
def _state(kind: str) -> str:
    return str(KINDS[kind]().to_str())


def hugging_face(kind: str) -> PreTrainedTokenizerFast:
    """Return a new tokenizer of transformers of some kind."""
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(_state(kind)), eos_token=EOS)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of the small runs: EOS is token 0, and the pad token too."""
    return PreTrainedTokenizerFast(tokenizer_object=_of_small_runs(), eos_token=EOS, pad_token=EOS)


def write_lit_tokenizer(folder: Path) -> Path:
    """Write the same one as LitGPT finds it, once."""
    if not (folder / "tokenizer_config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _of_small_runs().save(str(folder / "tokenizer.json"))
        config = {"bos_token": EOS, "eos_token": EOS, "tokenizer_class": "PreTrainedTokenizerFast"}
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def _of_small_runs() -> Tokenizer:
    return byte_level([" ".join(WORDS), *[f"Person{n} was born in Town{n % 8}." for n in range(FACTS)]], size=500)
