"""``kis probe`` of models that the Trainer saved: the figures of the run, to the last digit."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner

from kis_plugin.cli.main import main
from kis_plugin.run.log import read_run_log
from tests.world.data import SEQUENCE_LENGTH
from tests.world.facts import kis
from tests.world.models import make_model
from tests.world.runs import trainer_for
from tests.world.tokenizers import make_tokenizer

ASKED = {"every": 0.5, "control": 4, "probes": {"facts": 16, "kinds": ["held_out", "question", "answer_space"]}}


def probe(*arguments):
    outcome = CliRunner().invoke(main, ["probe", *map(str, arguments), "--device", "cpu", "--json"])
    return outcome, json.loads(outcome.stdout)


def trained(folder, **keys):
    """Train with KIS, save the model at the end, and return where it is with the run's log and configuration."""
    config = kis(folder, frequency=20, retention=ASKED, **keys)
    (folder / "kis.yaml").write_text(yaml.safe_dump(config))
    trainer = trainer_for(folder, config, learning_rate=1e-2, max_steps=60, rows=240)
    trainer.train()
    trainer.save_model(str(folder / "model"))
    make_tokenizer().save_pretrained(folder / "model")
    (log,) = (folder / "runs").glob("*/kis.jsonl")
    return folder / "model", read_run_log(log), folder / "kis.yaml"


def figures_of(log):
    """The records of the last evaluation as ``kis probe`` shows them.

    ``above_control`` has no questions of its own: it is the difference of two series that are shown.
    """
    last = [record for record in log.retention if record.step == log.end.step]
    records = [record for record in last if record.probe != "above_control"]
    return {
        record.probe: {"accuracy": record.accuracy, "n": record.n, "correct": record.correct, "margin": record.margin}
        | {name: record.extra[name] for name in ("chance", "low", "high")}
        for record in records
    }


def same_figures(report, log):
    expected = figures_of(log)
    found = {figures["probe"]: figures for figures in report["series"]}
    assert found.keys() == expected.keys()
    for series, figures in expected.items():
        assert {name: found[series][name] for name in figures} == figures  # to the last digit
    return expected


@pytest.mark.slow
def test_a_saved_model_has_the_figures_that_its_run_ended_with(tmp_path):
    model, log, config = trained(tmp_path)
    outcome, report = probe("--model", model, "--config", config)
    assert outcome.exit_code == 0, outcome.stderr
    expected = same_figures(report, log)
    assert {"held_out", "seen", "control", "answer_space/0"} <= expected.keys()
    (before,) = [record for record in log.retention if (record.step, record.probe) == (0, "seen")]
    assert expected["seen"]["margin"] != before.margin
    assert (report["params"], report["params_non_embedding"]) == (log.run.params, log.run.params_non_embedding)
    assert report["about"]["dtype"] == "float32"


@pytest.mark.slow
def test_so_has_one_of_a_run_that_left_out_what_was_known(tmp_path):
    model, log, config = trained(tmp_path, infusion={"skip_known": True, "known_frequency": 1})
    outcome, report = probe("--model", model, "--config", config, "--run", log.path.parent)
    assert outcome.exit_code == 0, outcome.stderr
    same_figures(report, log)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    make_model().save_pretrained(folder / "model")
    make_tokenizer().save_pretrained(folder / "model")
    kis(folder)  # writes the facts
    return folder


def test_any_saved_model_is_probed_on_every_fact(saved):
    outcome, report = probe("--model", saved / "model", "--knowledge", saved / "facts.jsonl")
    assert outcome.exit_code == 0, outcome.stderr
    assert [(figures["probe"], figures["n"]) for figures in report["series"]] == [("held_out", 24), ("seen", 24)]


def test_what_cannot_be_loaded_is_said(saved, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for arguments, said in (
        (("--model", tmp_path), f"model {tmp_path}"),
        (("--model", saved / "model", "--dtype", "float31"), "--dtype: found 'float31'"),
        (
            ("--model", saved / "model", "--block", 2 * SEQUENCE_LENGTH),
            f"expected at most the {SEQUENCE_LENGTH} tokens",
        ),
        (("--model", saved / "model", "--tokenizer", tmp_path), f"model {saved / 'model'}"),
        (("--model", saved / "model", "--begin", "bos"), "--begin: found bos, with a tokenizer that has none"),
    ):
        outcome, report = probe(*arguments, "--knowledge", saved / "facts.jsonl")
        assert (outcome.exit_code, report["status"]) == (2, "error")
        assert said in outcome.stderr


def test_without_the_extra_it_is_named(saved):
    blocked = (
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name in ('torch', 'transformers'):\n"
        "            raise ImportError(name=name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
        "from kis_plugin.cli.main import main; main(prog_name='kis')"
    )
    command = [sys.executable, "-c", blocked, "probe", "--model", str(saved / "model")]
    path = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [*command, "--knowledge", str(saved / "facts.jsonl")], env=path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "pip install 'kis-plugin[hf]'" in done.stderr
    assert "Traceback" not in done.stderr
