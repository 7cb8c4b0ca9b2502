"""The contract with LitGPT and Fabric. When one of these fails, the host changed: the message says where."""

from __future__ import annotations

import csv
import inspect
import json
from dataclasses import asdict

import pytest
import torch
from litgpt import GPT, Config, Tokenizer, pretrain
from litgpt.data import JSON
from litgpt.utils import CycleIterator
from torch.utils.data import DataLoader

from kis_litgpt import KnowledgeInfusion
from kis_litgpt.model import parameter_counts
from kis_litgpt.pretrain_hooks import HOOKED, install
from kis_litgpt.tokenizer import LitTokenizer
from kis_plugin.errors import KISError
from tests.world.data import SEQUENCE_LENGTH
from tests.world.litgpt import Rows, run, shown, write_kis
from tests.world.logs import log_of
from tests.world.tokenizers import write_lit_tokenizer


def test_litgpt_has_the_functions_that_are_replaced():
    for name, needed in HOOKED.items():
        found = inspect.signature(getattr(pretrain, name)).parameters
        assert set(needed) <= set(found), f"litgpt.pretrain.{name} now takes {list(found)}"
    main, fit = inspect.getsource(pretrain.main), inspect.getsource(pretrain.fit)
    assert "\n    fit(" in main, "litgpt.pretrain.main no longer calls fit by its global name"
    assert "validate(fabric, model, val_dataloader, max_iters=eval.max_iters)" in fit, "fit calls validate otherwise"
    assert "save_checkpoint(fabric, state," in fit, "fit no longer calls save_checkpoint by its global name"
    assert main.index("fabric.load(resume, state)") < main.index("\n    fit("), "a checkpoint is loaded after fit began"
    iterations = "max_iters = max_tokens_per_device // tokens_per_iter"
    assert iterations in fit, "fit counts its iterations otherwise: Host.iterations would be wrong"
    inputs, targets = "train_data[:, 0 : model.max_seq_length]", "train_data[:, 1 : (model.max_seq_length + 1)]"
    assert inputs in fit, "fit takes other columns of a row as inputs"
    assert targets in fit, "fit takes other columns of a row as targets"


def test_a_spent_loader_is_iterated_anew_and_a_spent_run_ends():
    rounds = iter([[1, 2], [3], [], []])

    class Loader:
        def __iter__(self):
            return iter(next(rounds))

    assert list(CycleIterator(Loader())) == [1, 2, 3], "LitGPT's CycleIterator goes through passes otherwise"


def test_the_hooks_are_removed_however_training_ends(tmp_path, seen):
    before = {name: getattr(pretrain, name) for name in HOOKED}
    kis = write_kis(tmp_path)
    run(tmp_path, Rows(), kis)
    assert before == {name: getattr(pretrain, name) for name in HOOKED}
    run(tmp_path, Rows(), kis, kill_at=3)
    assert before == {name: getattr(pretrain, name) for name in HOOKED}
    with pytest.raises(KISError):
        run(tmp_path, Rows(), write_kis(tmp_path, infusion={"frequency": 10000}))
    assert before == {name: getattr(pretrain, name) for name in HOOKED}


def test_a_seam_that_was_never_used_leaves_the_next_run_alone(tmp_path, seen):
    before = {name: getattr(pretrain, name) for name in HOOKED}
    module = KnowledgeInfusion(kis=write_kis(tmp_path), data=Rows())
    module.connect(Tokenizer(write_lit_tokenizer(tmp_path / "tokenizer")), batch_size=4, max_seq_length=SEQUENCE_LENGTH)
    loader = module.train_dataloader()
    with pytest.raises(KISError, match=r"a training loop that is not litgpt.pretrain.fit"):
        next(iter(loader))
    run(tmp_path, Rows())
    assert len(seen) == 20
    assert not (tmp_path / "runs").exists()
    assert before == {name: getattr(pretrain, name) for name in HOOKED}


def test_a_litgpt_that_is_built_otherwise_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(pretrain, "fit", lambda fabric, trainer: None)
    monkeypatch.delattr(pretrain, "validate")
    with pytest.raises(
        KISError, match=r"(?s)litgpt.pretrain.fit: found parameters fabric, trainer.*validate: .*no such"
    ):
        install(None, None)


def test_evaluation_adds_no_compiled_graphs(tmp_path, seen, monkeypatch):
    shapes = []

    def backend(graph, inputs):
        shapes.append([tuple(i.shape) for i in inputs if isinstance(i, torch.Tensor) and i.dtype == torch.int64])
        return graph.forward

    real = torch._dynamo.optimize(backend)
    monkeypatch.setattr(torch, "compile", lambda model, **keys: torch._dynamo.OptimizedModule(model, real))
    monkeypatch.setattr(torch._dynamo.OptimizedModule, "_compile_kwargs", {"backend": backend}, raising=False)
    graphs = {}
    for name in ("without", "with"):
        torch._dynamo.reset()
        shapes.clear()
        (tmp_path / name).mkdir()
        run(tmp_path / name, Rows(), write_kis(tmp_path / name) if name == "with" else None, interval=5)
        graphs[name] = list(shapes)
    assert {shape for graph in graphs["with"] for shape in graph} == {(4, SEQUENCE_LENGTH)}
    assert len(graphs["with"]) == len(graphs["without"]) > 0
    assert log_of(tmp_path / "with").end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}


def test_retention_reaches_litgpts_logger_and_the_run_log(tmp_path, seen):
    run(tmp_path, Rows(), write_kis(tmp_path), interval=8)
    log = log_of(tmp_path)
    assert [r.step for r in log.retention if r.probe == "held_out"] == [0, 8, 16, 20]
    assert {r.probe for r in log.retention} == {"held_out", "seen", "control", "above_control"}
    assert [(r.split, r.step) for r in log.loss] == [("val", 8), ("val", 16), ("val", 20)]
    (path,) = (tmp_path / "out" / "logs" / "csv").glob("version_*/metrics.csv")
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("retention/held_out")]
    assert [int(row["step"]) for row in rows] == [0, 7, 15, 19]
    assert [float(row["retention/held_out"]) for row in rows] == [
        r.accuracy for r in log.retention if r.probe == "held_out"
    ]


def test_the_log_says_what_the_predictor_needs(tmp_path, seen):
    run(tmp_path, Rows(), write_kis(tmp_path), tie_embeddings=True)
    (path,) = (tmp_path / "runs").glob("*/kis.jsonl")
    first = json.loads(path.read_text().splitlines()[0])
    assert (first["framework"], first["tokens"], first["frequency"], first["facts"]) == ("litgpt", 20 * 4 * 64, 5.0, 20)
    weights = torch.load(tmp_path / "out" / "final" / "lit_model.pth", weights_only=True)["model"]
    total = sum(weight.numel() for name, weight in weights.items() if name != "lm_head.weight")
    assert first["params"] == total
    assert first["params_non_embedding"] == total - weights["transformer.wte.weight"].numel()


def test_parameters_are_counted_as_litgpt_does():
    config = Config.from_name("pythia-14m")
    model = GPT(config)
    total, rest = parameter_counts(config, tied=False)
    assert total == sum(p.numel() for p in model.parameters()) == 14067712
    assert rest == total - 2 * config.padded_vocab_size * config.n_embd


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Rows(width=-1), r"data: found a batch of torch.int64 \(4, 64\), expected token ids \(4, 65 or more\)"),
        (Rows(count=3), "no batch of 4 rows in epoch 1 of the data, expected 20 more iterations"),
        (Rows(kind="forgetful"), "no batch of 4 rows in epoch 2 of the data, expected 10 more iterations"),
    ],
    ids=str,
)
def test_data_that_would_be_infused_wrongly_is_refused(tmp_path, seen, data, message):
    keys = {"steps": 30} if data.kind == "forgetful" else {}
    with pytest.raises(KISError, match=message):
        run(tmp_path, data, write_kis(tmp_path), **keys)


@pytest.mark.parametrize(
    ("change", "keys", "message"),
    [
        ({"infusion": {"frequency": 500}}, {}, "What fits is about"),
        ({}, {"steps": 0, "extra_tokens": 5}, "train.max_tokens: found 5 tokens"),
        ({"knowledge": "none.jsonl"}, {}, "no such file"),
        ({"infusion": {"loss": "object"}}, {}, "infusion.loss: found object, expected all. LitGPT's training loop"),
        ({"infusion": {"attention": "sentence"}}, {}, "infusion.attention: found sentence, expected row"),
    ],
)
def test_bad_settings_are_refused_before_the_first_step(tmp_path, seen, change, keys, message):
    with pytest.raises(KISError, match=message):
        run(tmp_path, Rows(), write_kis(tmp_path, **change), **keys)
    assert not seen
    assert not (tmp_path / "runs").exists()


def test_the_wrapped_module_keeps_its_arguments(tmp_path):
    module = KnowledgeInfusion(kis=write_kis(tmp_path), data=Rows(count=7))
    assert asdict(module)["data"]["count"] == 7
    with pytest.raises(KISError, match=r"found a kis_litgpt.KnowledgeInfusion"):
        KnowledgeInfusion(kis=write_kis(tmp_path), data=module).connect(None)
    with pytest.raises(KISError, match="tokenizer_dir: found none"):
        module.connect(None)


def test_finetuning_is_refused(tmp_path):
    (tmp_path / "prompts.json").write_text(json.dumps([{"instruction": "a", "output": "b"}] * 8))
    data = JSON(json_path=tmp_path / "prompts.json", val_split_fraction=0.5, num_workers=0)
    module = KnowledgeInfusion(kis=write_kis(tmp_path), data=data)
    module.connect(Tokenizer(write_lit_tokenizer(tmp_path / "tokenizer")), batch_size=4, max_seq_length=SEQUENCE_LENGTH)
    module.setup()
    with pytest.raises(KISError, match=r"data.data: found JSON, prompts of many lengths, expected a module for pretr"):
        module.train_dataloader()


def test_a_tokenizer_without_eos_is_refused(tmp_path):
    tokenizer = Tokenizer(write_lit_tokenizer(tmp_path))
    tokenizer.eos_id = None
    with pytest.raises(KISError, match="no EOS token"):
        LitTokenizer(tokenizer)


def test_tokens_are_litgpts_own_and_know_where_their_text_ends(tmp_path):
    tokenizer = Tokenizer(write_lit_tokenizer(tmp_path))
    ours = LitTokenizer(tokenizer)
    texts = ["Person3 was born in Town3.", "Ségou river", ""]
    for text, encoded in zip(texts, ours.encode(texts), strict=True):
        assert list(encoded.ids) == tokenizer.encode(text).tolist()
        assert list(encoded.ends) == sorted(encoded.ends)
        assert (encoded.ends[-1] if encoded.ends else 0) == len(text)


def test_sentencepiece_tokens_are_litgpts_own(tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    text = [f"Person{n} was born in Town{n % 8}. Ségou lies on the river Niger." for n in range(200)]
    with (tmp_path / "tokenizer.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(text), model_writer=file, vocab_size=45, character_coverage=1.0, minloglevel=2
        )
    tokenizer = Tokenizer(tmp_path)
    ours = LitTokenizer(tokenizer)
    texts = ["Person3 was born in Town3.", "Ségou lies"]
    for text, encoded in zip(texts, ours.encode(texts), strict=True):
        assert list(encoded.ids) == tokenizer.encode(text).tolist()
        assert list(encoded.ends) == sorted(encoded.ends)
        assert encoded.ends[-1] == len(text)
    assert (ours.eos, ours.vocabulary) == (tokenizer.eos_id, 45)


def test_two_runs_of_one_module_infuse_the_same_facts(tmp_path, seen):
    kis = write_kis(tmp_path)
    run(tmp_path, Rows(), kis)
    run(tmp_path, Rows(), kis)
    assert set(shown(tmp_path, seen, kis).values()) == {10}
    assert len(list((tmp_path / "runs").glob("*/kis.jsonl"))) == 2


def test_fabric_leaves_the_infused_loader_as_it_is():
    from lightning.fabric.utilities.data import has_iterable_dataset

    from kis_litgpt.loader import InfusedLoader

    loader = InfusedLoader(DataLoader([1]), SEQUENCE_LENGTH, 0)
    assert has_iterable_dataset(loader), "Fabric would replace the sampler of the infused loader"
