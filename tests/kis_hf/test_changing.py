"""Knowledge that changes in a Trainer's run: probes follow the valid facts."""

from __future__ import annotations

import json

import numpy as np

from kis_plugin.config.load import config_from
from kis_plugin.run.log import read_run_log
from kis_plugin.tokenized.infusion_split import load_split
from tests.world.facts import kis
from tests.world.runs import trainer_for
from tests.world.tokenizers import make_tokenizer


def test_the_new_object_is_probed_from_where_it_is_valid(tmp_path):
    facts = []
    for n in range(48):
        old = {"subject": f"Person{n}", "relation": "P551", "object": f"Town{n % 8}"}
        new = {**old, "object": f"Town{(n + 3) % 8}", "from": 0.5}
        facts += [{**old, "until": 0.5}, new] if n % 2 else [old]
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    config = kis(tmp_path, frequency=1, retention={"every": 0.25, "control": 12, "probes": {"facts": 100}})
    trainer_for(tmp_path, config, tokenizer=make_tokenizer()).train()
    split = load_split(config_from(config))
    (path,) = (tmp_path / "runs").glob("*/kis.jsonl")
    log = read_run_log(path)

    infused_facts = [split.knowledge.facts[index] for index in split.infused.tolist()]
    moved = sum(fact.start > 0 for fact in infused_facts)
    assert moved
    replaced = {record.step: record for record in log.retention if record.probe == "replaced"}
    assert sorted(replaced) == [15, 20]
    assert {record.n for record in replaced.values()} == {moved}
    assert {record.extra["chance"] for record in replaced.values()} == {0.5}
    held_out = {record.step: record.n for record in log.retention if record.probe == "held_out"}
    assert sorted(held_out) == [0, 5, 10, 15, 20]
    assert all(8 <= probed <= len(infused_facts) - moved for probed in held_out.values())
    control = [record for record in log.retention if record.probe == "control"]
    assert len({record.n for record in control}) == 1
    assert np.all([record.extra["chance"] == 0.25 for record in control])
