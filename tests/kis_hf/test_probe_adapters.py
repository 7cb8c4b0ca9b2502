"""``kis probe`` of folders that PEFT saved: the base model with the adapter on it, as it was trained."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from click.testing import CliRunner

from kis_plugin.cli.main import main
from kis_plugin.errors import KISError
from kis_plugin.run.saved_model import LoadOptions
from tests.world.facts import write_facts
from tests.world.models import make_model
from tests.world.tokenizers import make_tokenizer

peft = pytest.importorskip("peft")


@pytest.fixture
def base(tmp_path):
    """A base model with its tokenizer."""
    make_model().save_pretrained(tmp_path / "base")
    make_tokenizer().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


# Both are peft's, about adapters of resized and tied embeddings, which these tests are about.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning"),
]


def save_adapter(base, folder, tokenizer=None, **keys):
    """Save a LoRA whose weights do something, and return the model that it makes."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
        model.resize_token_embeddings(len(tokenizer))
    torch.manual_seed(1)
    lora = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, **keys)
    adapted = peft.get_peft_model(model, lora)
    adapted.save_pretrained(folder)
    return adapted


def logits_of(folder):
    from kis_hf.saved import load_saved

    loaded = load_saved(str(folder), LoadOptions(device="cpu"))
    with loaded.view.evaluating():
        return loaded, loaded.view.logits(torch.arange(1, 9)[None])


@pytest.mark.parametrize("own_tokenizer", [False, True])
def test_adapter_gives_the_logits_of_the_model_that_was_trained(base, tmp_path, own_tokenizer):
    adapted = save_adapter(base, tmp_path / "lora", make_tokenizer() if own_tokenizer else None).eval()
    loaded, found = logits_of(tmp_path / "lora")
    with torch.no_grad():
        expected = adapted(input_ids=torch.arange(1, 9)[None]).logits
        plain = logits_of(base)[1][..., : expected.shape[-1]]
    assert torch.allclose(found, expected)
    assert not torch.allclose(found, plain)
    assert loaded.params == sum(parameter.numel() for parameter in set(adapted.parameters()))


def test_tokens_that_were_added_with_the_adapter_have_their_rows(base, tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([f"<new{number}>" for number in range(500 - len(tokenizer) + 3)])
    adapted = save_adapter(base, tmp_path / "lora", tokenizer, modules_to_save=["embed_tokens"]).eval()
    loaded, _ = logits_of(tmp_path / "lora")
    with torch.no_grad():
        expected = adapted(input_ids=torch.tensor([[501, 502]])).logits
    assert torch.allclose(loaded.view.logits(torch.tensor([[501, 502]])), expected)


def test_kis_probe_takes_an_adapter_folder(base, tmp_path):
    save_adapter(base, tmp_path / "lora")
    facts = write_facts(tmp_path)
    given = ("--model", tmp_path / "lora", "--knowledge", facts, "--device", "cpu", "--json")
    outcome = CliRunner().invoke(main, ["probe", *map(str, given)])
    assert outcome.exit_code == 0, outcome.output
    assert {one["probe"]: one["n"] for one in json.loads(outcome.stdout)["series"]} == {"held_out": 24, "seen": 24}


def test_missing_peft_is_named_with_its_extra(base, tmp_path, monkeypatch):
    save_adapter(base, tmp_path / "lora")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(KISError, match=r"no peft.*pip install 'kis-plugin\[peft\]'"):
        logits_of(tmp_path / "lora")


def _without_base(config):
    config["base_model_name_or_path"] = None


def _moved_base(config):
    config["base_model_name_or_path"] = "/nowhere/base"


def _for_classes(config):
    config["task_type"] = "SEQ_CLS"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_base, "no base model, expected the model that was adapted"),
        (_moved_base, "base model /nowhere/base of .*If it has moved, correct base_model_name_or_path"),
        (_for_classes, "task_type SEQ_CLS, expected CAUSAL_LM"),
    ],
)
def test_adapter_that_cannot_be_loaded_is_refused_in_words(base, tmp_path, change, message):
    save_adapter(base, tmp_path / "lora")
    path = tmp_path / "lora" / "adapter_config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    with pytest.raises(KISError, match=message):
        logits_of(tmp_path / "lora")


def test_adapter_that_adds_tokens_to_each_row_is_refused(base, tmp_path):
    tuned = peft.PromptTuningConfig(task_type=peft.TaskType.CAUSAL_LM, num_virtual_tokens=4)
    peft.get_peft_model(make_model(), tuned).save_pretrained(tmp_path / "prompt")
    path = tmp_path / "prompt" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": str(base)}))
    with pytest.raises(KISError, match="PROMPT_TUNING, which adds tokens to each row"):
        logits_of(tmp_path / "prompt")


def test_torn_adapter_is_refused_with_its_folder(base, tmp_path):
    save_adapter(base, tmp_path / "lora")
    (tmp_path / "lora" / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(KISError, match=f"model {tmp_path / 'lora'}"):
        logits_of(tmp_path / "lora")
