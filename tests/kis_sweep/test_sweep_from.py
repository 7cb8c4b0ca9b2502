"""Sweeps that continue from trained models: ``kis sweep plan --from``."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import GPT2Config, LlamaConfig

from kis_hf.sweep_training import build_model, shape_of
from kis_plugin.errors import KISError
from kis_plugin.tokenized.load_tokenizer import load_tokenizer
from kis_sweep.base_data import train_tokenizer
from kis_sweep.folder import runs_of
from kis_sweep.run_spec import Shape
from kis_sweep.shapes import shape_of as planned_shape
from tests.world.sweeps import kis, logs_of, plan, write_split

SHARED_KEYS = Shape(layers=2, width=32, heads=4, key_heads=2, feed_forward=88, vocabulary=512, tied=False)


@pytest.mark.parametrize("shape", [SHARED_KEYS, planned_shape(60_000, 1024)])
def test_saved_model_has_the_shape_it_was_built_with(tmp_path, shape):
    model = build_model(shape, 64, seed=0)
    assert sum(parameter.numel() for parameter in model.parameters()) == shape.params
    model.save_pretrained(tmp_path)
    assert shape_of(str(tmp_path), 64) == shape


def saved(folder, **changes) -> str:
    settings = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1} | changes
    config = LlamaConfig(num_attention_heads=2, max_position_embeddings=64, **settings)
    config.save_pretrained(folder)
    (folder / "model.safetensors").touch()
    return str(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention_bias": True}, "found a Llama with biases, expected a Llama without"),
        ({"head_dim": 4}, "found 2 heads of 4 for a width of 16"),
        ({"max_position_embeddings": 32}, "found rows of up to 32, expected 64, as --block says"),
    ],
)
def test_unsupported_model_is_refused(tmp_path, changes, message):
    folder = saved(tmp_path, **{key: value for key, value in changes.items() if key != "max_position_embeddings"})
    if "max_position_embeddings" in changes:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(KISError, match=message):
        shape_of(folder, 64)


def test_other_architecture_or_missing_model_is_named(tmp_path):
    GPT2Config().save_pretrained(tmp_path)
    with pytest.raises(KISError, match=r"found no weights, expected \*\.safetensors or"):
        shape_of(str(tmp_path), 64)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(KISError, match=r"found a gpt2 model, expected a Llama.*docs/how-to/huggingface\.md"):
        shape_of(str(tmp_path), 64)
    (tmp_path / "config.json").write_text('{"model_type": "llama", "hidden_size": "wide"}')
    with pytest.raises(KISError, match="expected a causal language model"):
        shape_of(str(tmp_path), 64)
    with pytest.raises(KISError, match=r"model \./nowhere: found no such folder"):
        shape_of("./nowhere", 64)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a sweep of one run whose model was kept, and the path of the model."""
    folder = tmp_path_factory.mktemp("world")
    write_split(folder)
    train_tokenizer([folder / "text.txt"], 520, folder / "other", lambda *_: None)
    assert plan(folder, "--no-time", "--no-uninfused", "--keep-models").returncode == 0
    done = kis(folder, "sweep", "run", "sweep")
    assert done.returncode == 0, done.stderr
    return folder, next((folder / "sweep").glob("work/*/model"))


def plan_from(folder, *more: str, output: str = "on"):
    return kis(
        folder, "sweep", "plan", "--frequency", "8", "--config", "kis.yaml", "--text", "text.txt", "--block", "64",
        "--tokens-per-param", "2", "--batch-tokens", "256", "--no-time", "-o", output, *more,
    )  # fmt: skip


@pytest.mark.slow
def test_runs_continue_from_a_trained_model_and_its_tokenizer(trained):
    folder, model = trained
    done = plan_from(folder, "--from", str(model))
    assert done.returncode == 0, done.stderr
    (before,), runs = runs_of(folder / "sweep"), runs_of(folder / "on")
    assert [(run.shape, run.model, run.frequency) for run in runs] == [(before.shape, str(model), f) for f in (0, 8)]
    assert all("-trained-" in run.name for run in runs)
    ours, theirs = (load_tokenizer(str(place)) for place in (folder / "on" / "data" / "tokenizer", model))
    text = "Person 3 was born in the town of Town 7."
    assert [encoded.ids for encoded in ours.encode([text])] == [encoded.ids for encoded in theirs.encode([text])]
    done = kis(folder, "sweep", "run", "on")
    assert done.returncode == 0, done.stdout + done.stderr
    losses = lambda log: [line["loss"] for line in log if line["type"] == "loss"]  # noqa: E731
    scratch = losses(logs_of(folder / "sweep")[before.name])
    for log in logs_of(folder / "on").values():
        assert losses(log)[0] < scratch[0] - 0.1  # the first evaluation shows what the model had learned
        assert log[-1]["status"] == "completed"
    refused = kis(folder, "sweep", "next", "on", "--target", "1M", "--new-sizes", "--dry-run")
    assert refused.returncode == 2
    assert "--new-sizes: found a sweep that continues from trained models" in refused.stderr
    added = kis(folder, "sweep", "add", "on", "--sizes", "18.3k", "--frequency", "4", "--json")
    assert [name.partition("-F")[2] for name in json.loads(added.stdout)["added"]] == ["4-seed0"]
    refused = kis(folder, "sweep", "add", "on", "--sizes", "1M", "--frequency", "4")
    assert refused.returncode == 2
    assert "a run of N=1M: found no model of this size, expected one of 18.3K" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "sweep/work"], "expected a causal language model"),
        (["--from", "{model}", "--tokenizer", "other"], "a tokenizer other than other's"),
        (["--sizes", "20k", "--from", "{model}"], "Give exactly one of --sizes and --from"),
        ([], "Give exactly one of --sizes and --from"),
        (["--from", "{model}", "--from", "{model}"], "expected another size"),
        (["--from", "{model}", "--block", "128"], "expected 128, as --block says"),
        (["--from", "{model}", "--framework", "kers"], "one of the installed frameworks"),
    ],
)
def test_invalid_plan_names_the_reason_and_leaves_no_files(trained, arguments, message):
    folder, model = trained
    done = plan_from(folder, *(argument.format(model=model) for argument in arguments), output="bad")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in folder.iterdir() if "bad" in path.name]


@pytest.mark.slow
def test_model_changed_after_planning_stops_its_runs(trained):
    folder, model = trained
    assert plan_from(folder, "--from", str(model), output="changed").returncode == 0
    path = model / "config.json"
    text = path.read_text()
    path.write_text(text.replace('"num_hidden_layers": ', '"num_hidden_layers": 1'))
    try:
        done = kis(folder, "sweep", "run", "changed")
    finally:
        path.write_text(text)
    assert done.returncode == 1
    assert f"model {model}: found Shape(" in done.stdout.replace("\n", "")
