"""``kis sample`` against MiniPLM's formula, written out here, with two real models that share a tokenizer."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from kis_hf.commands import sample
from kis_plugin.errors import KISError
from tests.kis_hf.test_score import byte_tokenizer, save
from tests.world.tokenizers import EOS, byte_level

ROW = 24
DOCUMENTS = [
    "She said: 3.14 is a number. Lyon is a city in France! What? The D.A. came; he left (at once.",
    "Ségou lies on the river Niger.",
    "東京 is the capital of Japan!\nA new line begins. " * 3,
    "no sentence end here and none there so the piece is cut where it is full " * 2,
    "The capital of Mali is Bamako. " * 9,
]


def shared_tokenizer():
    return PreTrainedTokenizerFast(tokenizer_object=byte_level(), eos_token=EOS)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    (folder / "corpus.txt").write_text("\f".join(DOCUMENTS), encoding="utf-8")
    models = {name: save(folder / name, shared_tokenizer(), width, seed)
              for name, width, seed in (("small", 8, 1), ("large", 16, 2))}  # fmt: skip
    return folder, models


def run(folder, models, out, *more):
    command = [str(folder / "corpus.txt"), "--small", models["small"], "--large", models["large"], "-o", str(out)]
    common = ["--device", "cpu", "--block", str(ROW), "--scores", str(out.with_suffix(".scores"))]
    result = CliRunner().invoke(sample, [*command, *common, *more], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (0, "")
    kept = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return kept, [json.loads(line) for line in out.with_suffix(".scores").read_text().splitlines()]


def pieces_as_in_the_paper(tokenizer, longest):
    """The loop of ``tokenize_pile.py``: fill a piece, go back to the last sentence end, put back what was cut off."""
    text_of = [tokenizer.decode([number]) for number in range(len(tokenizer))]
    open_bracket = [any(a in t and b not in t for a, b in ("[]", "()", "{}", "<>")) for t in text_of]
    ends = [any(mark in t for mark in ".!?;\n") and not bad for t, bad in zip(text_of, open_bracket, strict=True)]
    buffer, pieces = [], []
    for document in DOCUMENTS:
        buffer += [*tokenizer(document, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        while len(buffer) >= longest:
            piece, buffer = buffer[:longest], buffer[longest:]
            for at in range(len(piece) - 1, -1, -1):
                pair = (piece + buffer[:1])[at : at + 2]
                fake = len(pair) == 2 and " " not in tokenizer.decode(pair)
                always = piece[at] == tokenizer.eos_token_id or (ends[piece[at]] and "\n" in text_of[piece[at]])
                if always or (ends[piece[at]] and not fake):
                    piece, buffer = piece[: at + 1], piece[at + 1 :] + buffer
                    break
            if len(piece) > 1:
                pieces.append(piece)
    return pieces, len(buffer)


def mean_nats(model, piece, eos):
    """Mean of -log p(token | those before it), without the first of each document, as their code masks it."""
    logits = model(input_ids=torch.tensor([piece])).logits[0].log_softmax(-1)
    nats = [-logits[at, piece[at + 1]].item() for at in range(len(piece) - 1) if piece[at] != eos]
    return sum(nats) / len(nats)


def test_scores_and_choice_are_those_of_the_formula(world, tmp_path):
    folder, models = world
    tokenizer = shared_tokenizer()
    pieces, left = pieces_as_in_the_paper(tokenizer, ROW + 1)
    small, large = (AutoModelForCausalLM.from_pretrained(models[name]).eval() for name in ("small", "large"))
    ratio = 0.48
    with torch.no_grad():
        losses = [[mean_nats(model, piece, tokenizer.eos_token_id) for piece in pieces] for model in (small, large)]
    gaps = [one - other for one, other in zip(*losses, strict=True)]
    chosen = sorted(sorted(range(len(pieces)), key=lambda n: -gaps[n])[: int(ratio * len(pieces))])
    assert int(ratio * len(pieces)) != round(ratio * len(pieces))  # rounding down is a choice that shows

    kept, scores = run(folder, models, tmp_path / "kept.jsonl", "--keep", str(ratio), "--batch-tokens", "100")
    assert [line["tokens"] for line in scores] == [len(piece) for piece in pieces]
    assert [line["gap"] for line in scores] == pytest.approx(gaps, abs=1e-5)
    assert [number for number, line in enumerate(scores) if line["kept"]] == chosen
    assert list(dict.fromkeys(int(line["id"].split(".")[0]) for line in kept)) == chosen
    assert 0 < left < ROW + 1

    again, _ = run(folder, models, tmp_path / "again.jsonl", "--keep", str(ratio))
    assert again == kept


def test_all_pieces_together_are_the_corpus_up_to_the_last_full_piece(world, tmp_path):
    folder, models = world
    kept, scores = run(folder, models, tmp_path / "all.jsonl", "--keep", "1")
    pieces, left = pieces_as_in_the_paper(shared_tokenizer(), ROW + 1)
    whole = "".join(line["text"] for line in kept)
    assert "".join(DOCUMENTS).startswith(whole)
    assert len(shared_tokenizer()("".join(DOCUMENTS)[len(whole) :])["input_ids"]) <= left
    assert all(EOS not in line["text"] for line in kept)
    assert len({line["id"] for line in kept}) == len(kept) > len(scores)  # a piece with parts of two documents


def test_models_with_two_tokenizers_are_refused_with_what_was_found(world, tmp_path):
    folder, models = world
    other = save(tmp_path / "other", byte_tokenizer(), 8, 3)
    with pytest.raises(KISError, match="found 391 tokens and 257 tokens, expected one tokenizer for both"):
        run(folder, {**models, "large": other}, tmp_path / "kept.jsonl")
    assert not (tmp_path / "kept.jsonl").exists()


def test_what_cannot_be_written_or_sampled_is_refused_first(world, tmp_path):
    folder, models = world
    there = tmp_path / "facts.jsonl"
    there.write_text("{}\n")
    with pytest.raises(KISError, match="which exists already"):
        run(folder, models, there)
    assert there.read_text() == "{}\n"
    with pytest.raises(KISError, match="no such folder"):
        run(folder, models, tmp_path / "none" / "kept.jsonl")
    with pytest.raises(KISError, match=r"of which 0\.01 is none"):
        run(folder, models, tmp_path / "kept.jsonl", "--keep", "0.01")
    assert list(tmp_path.iterdir()) == [there]
