"""``axolotl train`` with the plugin of ``examples/axolotl``: what the model receives is counted independently."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.world.facts import WORDS, controls_shown, kis, shown
from tests.world.logs import log_of
from tests.world.models import make_model
from tests.world.tokenizers import make_tokenizer

pytestmark = pytest.mark.slow
for package in ("axolotl", "bitsandbytes", "triton", "numba", "wandb"):  # what its command imports
    pytest.importorskip(package)
EXAMPLE = Path(__file__).parents[2] / "examples" / "axolotl"
WITNESS = """
import json
from axolotl.integrations.base import BasePlugin

class Witness(BasePlugin):
    def add_callbacks_post_trainer(self, cfg, trainer):
        tokenizer, file = trainer.processing_class, open("received.jsonl", "w")
        def write(module, args, kwargs):
            if module.training:
                for row in kwargs["input_ids"].tolist():
                    file.write(json.dumps(tokenizer.decode(row)) + "\\n")
                file.flush()
        trainer.model.register_forward_pre_hook(write, with_kwargs=True)
        return []
"""


def test_axolotls_command_infuses_exactly(tmp_path):
    config = kis(tmp_path)
    (tmp_path / "kis.yaml").write_text(json.dumps(config))
    (tmp_path / "witness.py").write_text(WITNESS)
    (tmp_path / "kis_axolotl.py").write_text((EXAMPLE / "kis_axolotl.py").read_text())
    make_model(hidden=32, heads=2).save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    rows = [{"text": " ".join(WORDS[(n + k) % len(WORDS)] for k in range(60))} for n in range(300)]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = yaml.safe_load((EXAMPLE / "config.yml").read_text())
    settings["plugins"].append("witness.Witness")
    (tmp_path / "config.yml").write_text(yaml.safe_dump(settings))
    path = os.pathsep.join([str(tmp_path), *sys.path])
    names = {"PYTHONPATH": path, "AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "axolotl.cli.main", "train", "config.yml", "--launcher", "python"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | names, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    log = log_of(tmp_path)
    assert log.end.status == "completed"
    assert log.end.achieved_frequency["min"] == log.end.achieved_frequency["max"] == log.run.frequency
    received = [json.loads(line) for line in (tmp_path / "received.jsonl").read_text().splitlines()]
    assert len(received) == 20 * 8
    assert set(shown(received, config).values()) == {log.run.frequency}
    assert not any(controls_shown(received, config).values())
