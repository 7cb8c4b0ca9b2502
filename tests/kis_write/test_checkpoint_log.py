"""``kis probe --log``: the checkpoints of a run without an adapter become a run log that kis-predict reads."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from kis_plugin.cli.main import main
from kis_plugin.run.log import read_run_log
from kis_write import write_dataset
from tests.world.models import make_model
from tests.world.tokenizers import make_tokenizer

pytest.importorskip("transformers")


@pytest.fixture
def trained(request_for, tmp_path):
    write_dataset(request_for(), tmp_path / "out")
    for step in (10, 25):
        make_model(hidden=32, heads=2).save_pretrained(tmp_path / "ck" / f"step-{step}")
        make_tokenizer().save_pretrained(tmp_path / "ck" / f"step-{step}")
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def probe(folder, *more: object) -> Result:
    given = ("--checkpoints", folder / "ck" / "step-*", "--manifest", folder / "out", "--device", "cpu")
    return run("probe", "--log", folder / "logs", *given, *more)


def log_of(folder):
    (path,) = (folder / "logs").glob("*/kis.jsonl")
    return read_run_log(path)


def test_the_log_has_the_run_its_evaluations_and_the_counts_of_the_audit(trained):
    assert run("audit", trained / "out", "-o", trained / "audit.json").exit_code == 0
    assert probe(trained, "--audit", trained / "audit.json").exit_code == 0
    log = log_of(trained)
    assert (log.run.frequency, log.run.tokens, log.run.facts) == (6, 200 * 64, 20)
    assert log.run.extra["frequency_from"] == "audit"
    assert {record.step for record in log.retention} == {10, 25}
    assert {"held_out", "seen", "control"} <= {record.probe for record in log.retention}
    assert [record.tokens for record in log.retention if record.probe == "seen"] == [5120, 12800]
    assert log.end.status == "completed"
    assert log.end.achieved_frequency == {"min": 6, "max": 6, "mean": 6}
    assert log.end.extra["miscounted"] == 0


def test_a_run_with_other_counts_is_marked_and_left_out_of_predictions(trained):
    audit = {"summary": {"min": 4, "max": 6, "mean": 5.5}, "wrong": 7, "leaked": 0}
    (trained / "audit.json").write_text(json.dumps(audit))
    assert probe(trained, "--audit", trained / "audit.json", "--steps", 50).exit_code == 0
    log = log_of(trained)
    assert log.run.frequency == 5.5
    assert (log.end.status, log.end.extra["miscounted"]) == ("stopped", 7)


def test_without_an_audit_the_log_says_that_the_amount_is_the_manifests(trained):
    assert probe(trained).exit_code == 0
    log = log_of(trained)
    assert log.run.extra["frequency_from"] == "manifest"
    assert log.end.achieved_frequency is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--step-from", "step"), "no group"),
        (("--step-from", "(x)"), "no step in its name"),
        (("--step-from", "(ck)"), "no step in its name"),
        (("--steps", "20"), "less than step 25"),
        (("--audit", "{folder}/out/kis.manifest.json"), "no audit"),
        (("--model", "other"), "--log takes"),
    ],
)
def test_what_cannot_be_logged_is_refused_and_nothing_is_written(trained, more, message):
    done = probe(trained, *(argument.format(folder=trained) for argument in more))
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (trained / "logs").exists()
