"""The plugin of ``examples/axolotl``, taken in by axolotl's own plugin manager: it infuses a Trainer's run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.world.facts import kis
from tests.world.logs import log_of
from tests.world.runs import trainer_for
from tests.world.tokenizers import make_tokenizer


def test_the_plugin_gives_axolotls_trainer_the_callback(tmp_path, monkeypatch):
    base = pytest.importorskip("axolotl.integrations.base")
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples/axolotl")
    monkeypatch.chdir(tmp_path)
    config = kis(tmp_path)
    Path("kis.yaml").write_text(json.dumps(config))
    trainer = trainer_for(tmp_path, None, max_steps=8)
    trainer.processing_class = make_tokenizer()
    manager = base.PluginManager.get_instance()
    manager.register("kis_axolotl.KISPlugin")
    try:
        # As TrainerBuilderBase.get_post_trainer_create_callbacks and HFCausalTrainerBuilder.build have it.
        for callback in manager.add_callbacks_post_trainer({}, trainer):
            trainer.add_callback(callback)
        trainer.train()
    finally:
        manager.plugins.clear()
        sys.modules.pop("kis_axolotl", None)
    log = log_of(tmp_path)
    assert log.end.status == "completed"
    assert log.end.achieved_frequency["min"] == log.end.achieved_frequency["max"] == log.run.frequency
