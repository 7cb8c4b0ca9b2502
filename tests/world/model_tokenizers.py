"""Tokenizers configured as real models have them: with a BOS of their own, spaces put first, text made uniform."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import GemmaTokenizer, GPT2Tokenizer, LlamaTokenizer, PreTrainedTokenizerFast

from tests.world.tokenizers import EOS, TEXT, byte_level, hugging_face, metaspace

SPECIAL = ("<s>", "</s>", "<bos>", "<pad>", "<mask>", "[CLS]", "[SEP]")


@cache
def _parts(make: Callable[[], Tokenizer]) -> str:
    return json.dumps(json.loads(make().to_str())["model"])


def _bpe(make: Callable[[], Tokenizer]) -> dict[str, Any]:
    """Return vocabulary and merges as the tokenizers of transformers take them."""
    model = json.loads(_parts(make))
    vocab = dict(model["vocab"])
    for token in SPECIAL:
        vocab.setdefault(token, len(vocab))
    return {"vocab": vocab, "merges": [tuple(pair) for pair in model["merges"]], "eos_token": EOS}


def _wrapped(tokenizer: Tokenizer, before: str | None = None, after: str | None = None) -> PreTrainedTokenizerFast:
    """Put special tokens around every text, if special tokens are requested."""
    parts = [part for part in (before, "$A", after) if part]
    tokenizer.add_special_tokens([part for part in (EOS, before, after) if part])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join(parts), special_tokens=[(part, tokenizer.token_to_id(part)) for part in parts if part != "$A"]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS, bos_token=before)


def _llama_3() -> PreTrainedTokenizerFast:
    return _wrapped(byte_level(), "<s>")


def _bert() -> PreTrainedTokenizerFast:
    return _wrapped(Tokenizer.from_str(hugging_face("word pieces").backend_tokenizer.to_str()), "[CLS]", "[SEP]")


def _uniform() -> PreTrainedTokenizerFast:
    """Letters of compatibility are replaced, accents joined to theirs, and all is made lower case."""
    tokenizer = byte_level()
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS)


def _unigram() -> PreTrainedTokenizerFast:
    """As of T5: likeliest pieces, several spaces become one, and EOS after every text."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace("  ", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    special = ["<unk>", EOS]
    trainer = trainers.UnigramTrainer(vocab_size=250, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    return _wrapped(tokenizer, after=EOS)


MODELS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "GPT-2": lambda: GPT2Tokenizer(**_bpe(byte_level), bos_token=EOS, unk_token=EOS),
    "GPT-2, space first": lambda: GPT2Tokenizer(
        **_bpe(byte_level), bos_token=EOS, unk_token=EOS, add_prefix_space=True
    ),
    "Llama": lambda: LlamaTokenizer(**_bpe(metaspace), add_bos_token=True),
    "Llama, EOS too": lambda: LlamaTokenizer(**_bpe(metaspace), add_bos_token=True, add_eos_token=True),
    "Llama 3": _llama_3,
    "Gemma": lambda: GemmaTokenizer(**_bpe(metaspace), add_bos_token=True),
    "BERT": _bert,
    "T5": _unigram,
    "NFKC, lower case": _uniform,
}


def sentencepiece(folder: Path) -> tuple[Any, PreTrainedTokenizerFast]:
    """Train one with the ``sentencepiece`` package; return its own processor and what transformers makes of it."""
    import sentencepiece as spm

    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 3),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=360,
        byte_fallback=True,
        character_coverage=0.98,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    own = spm.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    return own, LlamaTokenizer.from_pretrained(folder, add_bos_token=True, eos_token="</s>")
