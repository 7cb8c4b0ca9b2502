"""The lines of the page on LLaMA-Factory, run: what the model receives is counted independently.

LLaMA-Factory imports torchaudio for data with sound. Where that has no build for CPUs, an empty module stands in.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from doc_pages import DOCS, blocks

from tests.world.facts import WORDS, controls_shown, kis, shown
from tests.world.logs import log_of
from tests.world.models import make_model
from tests.world.tokenizers import make_tokenizer

pytestmark = pytest.mark.slow
pytest.importorskip("llamafactory")
SETTINGS = {
    "model_name_or_path": "./model", "stage": "pt", "do_train": True, "finetuning_type": "full", "dataset": "text",
    "dataset_dir": ".", "cutoff_len": 64, "packing": True, "max_steps": 20, "per_device_train_batch_size": 8,
    "learning_rate": 0.002, "output_dir": "out", "report_to": "none", "save_strategy": "no", "bf16": False,
}  # fmt: skip
WITNESS = """
import json
from transformers import TrainerCallback

class Witness(TrainerCallback):
    def on_train_begin(self, args, state, control, model=None, processing_class=None, **others):
        file = open("received.jsonl", "w")
        def write(module, args, kwargs):
            if module.training:
                for row in kwargs["input_ids"].tolist():
                    file.write(json.dumps(processing_class.decode(row)) + "\\n")
                file.flush()
        model.register_forward_pre_hook(write, with_kwargs=True)
"""


def test_llamafactory_trains_with_the_callback(tmp_path):
    config = kis(tmp_path)
    (tmp_path / "kis.yaml").write_text(json.dumps(config))
    (code,) = [text for text in blocks(DOCS / "how-to" / "any-framework.md", "python") if "run_exp" in text]
    code = code.replace("meta-llama/Llama-3.2-1B", "./model").replace("callbacks=[", "callbacks=[Witness(), ")
    (tmp_path / "train.py").write_text(f"from witness import Witness\n{code}")
    (tmp_path / "witness.py").write_text(WITNESS)
    make_model(hidden=32, heads=2).save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    rows = [{"text": " ".join(WORDS[(n + k) % len(WORDS)] for k in range(60))} for n in range(300)]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    about = {"text": {"file_name": "text.jsonl", "columns": {"prompt": "text"}}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(about))
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(SETTINGS))
    if importlib.util.find_spec("torchaudio") is None:
        (tmp_path / "torchaudio.py").touch()
    names = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), "HF_HUB_OFFLINE": "1"}
    names["DISABLE_VERSION_CHECK"] = "1"  # its pins of tyro and others have nothing to do with this
    command = [sys.executable, "train.py", "run.yaml"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | names, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    log = log_of(tmp_path)
    assert log.end.status == "completed"
    assert log.end.achieved_frequency["min"] == log.end.achieved_frequency["max"] == log.run.frequency == 3
    received = [json.loads(line) for line in (tmp_path / "received.jsonl").read_text().splitlines()]
    assert len(received) == 20 * 8
    assert set(shown(received, config).values()) == {3}
    assert not any(controls_shown(received, config).values())
    assert Path(tmp_path / "out").is_dir()
