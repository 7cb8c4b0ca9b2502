"""kill -9 at any moment: the batches that made the final weights hold every fact exactly as often as requested."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kis_plugin.run.log import read_run_log
from tests.world.facts import kis
from tests.world.processes import environment
from tests.world.runs import shown, trainer_for
from tests.world.tokenizers import make_tokenizer

SCRIPT = Path(__file__).with_name("killed_run.py")


def start(folder, options):
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), json.dumps(options)],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def lineage(folder):
    """The batches behind the final weights: what a killed process did beyond its last checkpoint is gone."""
    kept: list[tuple[int, list]] = []
    for line in (folder / "batches.jsonl").read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # torn by the kill: that batch was never trained on
        if "begun" in record:
            kept = [(step, rows) for step, rows in kept if step < record["begun"]]
        else:
            kept.append((record["step"], record["rows"]))
    return [np.array(rows) for _, rows in kept]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "seed"),
    [
        ({"max_steps": 60}, 0),
        ({"max_steps": 60, "dataloader_num_workers": 2, "dataloader_persistent_workers": True}, 1),
        ({"max_steps": 30, "gradient_accumulation_steps": 2, "kis": {"infusion": {"placement": "inline"}}}, 2),
    ],
    ids=str,
)
def test_a_run_killed_twice_shows_what_the_unbroken_one_does(tmp_path, options, seed):
    (tmp_path / "killed").mkdir()
    chance = random.Random(seed)
    hold = tmp_path / "killed/hold"
    for step in (options["max_steps"] // 2, options["max_steps"] - 1):
        hold.write_text(str(step))
        process = start(tmp_path / "killed", options)
        checkpoints = len(list((tmp_path / "killed").glob("out/checkpoint-*")))
        limit = time.monotonic() + 120
        while len(list((tmp_path / "killed").glob("out/checkpoint-*"))) < checkpoints + 2:
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < limit
            time.sleep(0.01)
        time.sleep(chance.random() * 0.2)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    hold.unlink()
    last = start(tmp_path / "killed", options)
    _, said = last.communicate(timeout=300)
    assert last.returncode == 0, said.decode()
    batches = lineage(tmp_path / "killed")
    (tmp_path / "whole").mkdir()
    keys = {**options}
    config = kis(tmp_path / "whole", **keys.pop("kis", {}))
    whole = trainer_for(tmp_path / "whole", config, **keys)
    whole.train()
    assert np.array_equal(np.stack(batches), np.stack(whole.seen))
    if "kis" not in options:
        assert set(shown(batches, config, make_tokenizer()).values()) == {3}
    (log,) = (tmp_path / "killed" / "runs").glob("*/kis.jsonl")
    end = read_run_log(log).end
    assert end.achieved_frequency == {"min": 3, "max": 3, "mean": 3}
    assert end.extra["miscounted"] == 0
