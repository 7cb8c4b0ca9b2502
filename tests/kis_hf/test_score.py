"""``kis score`` with two real models of different size and tokenizer, saved and loaded as a user's are."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from kis_hf.commands import score
from kis_hf.loss import LoadedReader
from kis_plugin.config.load import load_config
from kis_plugin.difference.score_file import read_scores
from kis_plugin.difference.selection import Difference
from kis_plugin.knowledge.facts import Fact
from kis_plugin.templates.load import BuiltInTemplates
from tests.world.tokenizers import make_tokenizer

FACTS = [{"subject": f"Person{n}", "relation": "P19", "object": f"Tówn{n % 8}" * (1 + n % 3)} for n in range(20)]


def byte_tokenizer():
    """One token a byte: nothing is encoded as by the tokenizer of the small world."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({name: number for number, name in enumerate(["<eos>", *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")


def save(folder, tokenizer, width, seed):
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=48, n_embd=width, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    model = GPT2LMHeadModel(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # so that texts differ in their losses
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("score")
    (folder / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in FACTS))
    # The selection that waits for the scores must not keep them from being made.
    selection = "infusion: {selection: {name: difference, scores: scores.jsonl, keep: 0.25}}"
    (folder / "kis.yaml").write_text(f"knowledge: facts.jsonl\n{selection}\n")
    small = save(folder / "small", make_tokenizer(), 8, 1)
    large = save(folder / "large", byte_tokenizer(), 16, 2)
    return folder, small, large


@pytest.fixture(scope="module")
def lines(world):
    folder, small, large = world
    command = [str(folder / "kis.yaml"), "--small", small, "--large", large, "-o", str(folder / "scores.jsonl")]
    result = CliRunner().invoke(score, [*command, "--device", "cpu", "--batch-tokens", "200"], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout == ""
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]


def test_the_first_line_says_what_was_scored(world, lines):
    _, small, large = world
    about = lines[0]
    assert (about["small"], about["large"], about["entries"], about["unit"]) == (small, large, 20, "nats per byte")
    assert about["rendering"] == "sentences"


@pytest.mark.parametrize("which", ["small", "large"])
def test_losses_are_the_models_own(world, lines, which):
    folder = world[0]
    model = AutoModelForCausalLM.from_pretrained(folder / which)
    tokenizer = AutoTokenizer.from_pretrained(folder / which)
    step = 48 - 1
    longest = 0
    template = BuiltInTemplates().templates()["P19"].trained[0]
    for fact, line in zip(FACTS, lines[1:], strict=True):
        text = template.format(**fact)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        nats = 0.0
        for first in range(0, len(ids), step):  # what does not fit into the model's 48 positions is read anew
            row = torch.tensor([[tokenizer.eos_token_id, *ids[first : first + step]]])
            nats += model(input_ids=row, labels=row).loss.item() * (row.shape[1] - 1)
        longest = max(longest, len(ids))
        assert line["bytes"] == len(text.encode())
        assert line["tokens"][which == "large"] == len(ids)
        assert line[which] * line["bytes"] == pytest.approx(nats, rel=1e-5)
        assert line["gap"] == pytest.approx(line["small"] - line["large"])
    assert (longest > step) == (which == "large")  # both cases are there


def test_the_selection_keeps_the_greatest_gaps(world, lines):
    folder = world[0]
    config = load_config(folder / "kis.yaml")
    facts = [
        Fact(fact["subject"], fact["relation"], fact["object"], line["id"])
        for fact, line in zip(FACTS, lines[1:], strict=True)
    ]
    kept = Difference(config.infusion.selection.options["scores"], 0.25).select(facts, 0).tolist()
    by_gap = sorted(range(20), key=lambda place: -lines[1 + place]["gap"])
    assert kept == sorted(by_gap[:5])
    assert len(read_scores(folder / "scores.jsonl").gaps) == 20


def test_batches_change_nothing(world):
    folder = world[0]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder / "small"), make_tokenizer()
    texts = ["Person1 was born in Town1.", "", "a", "river stone " * 40]
    one = LoadedReader(model, tokenizer, 48, 1, "small").losses(texts)
    many = LoadedReader(model, tokenizer, 48, 10_000, "small").losses(texts)
    assert one.nats == pytest.approx(many.nats, rel=1e-5)
    assert one.nats[1] == one.tokens[1] == 0
    assert one.tokens.tolist() == many.tokens.tolist()


def test_what_cannot_be_scored_is_said_and_leaves_nothing(world, tmp_path):
    from kis_plugin.errors import KISError

    folder, small, _ = world
    out = tmp_path / "scores.jsonl"
    for change, message in (
        ({"--large": str(tmp_path)}, f"model {tmp_path}"),
        ({"--dtype": "float31"}, "--dtype: found 'float31'"),
        ({"--block": "64"}, "--block: found 64, expected at most the 48"),
        ({"-o": str(tmp_path / "none" / "scores.jsonl")}, "no such folder"),
    ):
        options = {"--small": small, "--large": small, "-o": str(out), "--device": "cpu", **change}
        command = [str(folder / "kis.yaml"), *(part for pair in options.items() for part in pair)]
        with pytest.raises(KISError, match=message):
            CliRunner().invoke(score, command, catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []


def test_the_command_is_known_without_torch():
    blocked = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from kis_plugin.registry import registered\n"
        "assert registered('commands')['score'].name == 'score'\n"
        "try:\n    from kis_hf import KnowledgeInfusion\n"
        "except ImportError as error:\n    print(error)\n"
    )
    path = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", blocked], env=path, capture_output=True, text=True, check=True)
    assert "pip install 'kis-plugin[hf]'" in done.stdout


def test_scores_are_never_written_over_something_else(tmp_path):
    from kis_plugin.difference.score_file import refuse_other_file
    from kis_plugin.errors import KISError

    facts = tmp_path / "facts.jsonl"
    facts.write_text('{"subject": "a", "relation": "P36", "object": "b"}\n')
    with pytest.raises(KISError, match="a file that holds something else, expected a new file, or an older file of"):
        refuse_other_file(facts)
    older = tmp_path / "scores.jsonl"
    older.write_text('{"type": "scores"}\n')
    refuse_other_file(older)
    refuse_other_file(tmp_path / "new.jsonl")
