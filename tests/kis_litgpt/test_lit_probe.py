"""``kis probe`` of checkpoints that LitGPT wrote: the figures of the run, to the last digit."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

from kis_plugin.cli.main import main
from kis_plugin.run.log import read_run_log
from tests.world.litgpt import run, write_kis


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A run's folder; its checkpoint is in ``out/final``."""
    from tests.world.litgpt import watch_training

    folder = tmp_path_factory.mktemp("probe")
    config = write_kis(folder, infusion={"frequency": 12}, retention={"control": 4, "probes": {"facts": 16}})
    with pytest.MonkeyPatch.context() as patch:
        watch_training(patch)
        run(folder, kis=config, steps=40, tie_embeddings=True)
    return folder


def probe(*arguments):
    outcome = CliRunner().invoke(main, ["probe", *map(str, arguments), "--device", "cpu", "--json"])
    return outcome, json.loads(outcome.stdout)


def test_a_checkpoint_has_the_figures_that_its_run_ended_with(checkpoint):
    (path,) = (checkpoint / "runs").glob("*/kis.jsonl")
    log = read_run_log(path)
    outcome, report = probe("--model", checkpoint / "out" / "final", "--config", checkpoint / "kis.yaml")
    assert outcome.exit_code == 0, outcome.stderr
    last = {record.probe: record for record in log.retention if record.step == log.end.step}
    del last["above_control"]  # no questions of its own: the difference of two series that kis probe shows
    found = {figures["probe"]: figures for figures in report["series"]}
    assert found.keys() == last.keys() == {"held_out", "seen", "control"}
    for series, record in last.items():
        shown = found[series]
        assert (shown["accuracy"], shown["n"], shown["margin"]) == (record.accuracy, record.n, record.margin)
    assert (report["params"], report["params_non_embedding"]) == (log.run.params, log.run.params_non_embedding)
    assert report["about"]["loader"] == "litgpt"


def test_the_file_in_it_is_the_checkpoint_too(checkpoint):
    final = checkpoint / "out" / "final"
    facts = ("--knowledge", checkpoint / "facts.jsonl", "--probes", "seen")
    whole, file = (probe("--model", model, *facts)[1]["series"] for model in (final, final / "lit_model.pth"))
    assert whole == file


def spoiled(checkpoint, folder, **files):
    """A copy of the checkpoint with some files written anew; None leaves one out."""
    folder.mkdir()
    for path in (checkpoint / "out" / "final").iterdir():
        text = files.get(path.name.split(".")[0], path.read_bytes())
        if text is not None:
            (folder / path.name).write_bytes(text)
    return folder


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_what_is_no_checkpoint_is_said_and_nothing_in_it_is_run(checkpoint, tmp_path, capsys):
    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    torch.save({"model": {"lm_head.weight": torch.zeros(2)}}, tmp_path / "other.pth")
    for number, (files, said) in enumerate(
        (
            ({"model_config": None}, "model_config.yaml: found No such file"),
            ({"model_config": b"a: ["}, "expected the configuration of a LitGPT model"),
            ({"lit_model": b"no weights"}, "lit_model.pth: found"),
            ({"lit_model": (tmp_path / "evil.pth").read_bytes()}, "lit_model.pth: found"),
            ({"lit_model": (tmp_path / "other.pth").read_bytes()}, "expected weights that fit its model_config.yaml"),
            ({"tokenizer": None}, "expected the files of a tokenizer"),
        )
    ):
        model = spoiled(checkpoint, tmp_path / str(number), **files)
        outcome, report = probe("--model", model, "--knowledge", checkpoint / "facts.jsonl")
        assert (outcome.exit_code, report["status"]) == (2, "error"), outcome.stderr
        assert said in outcome.stderr
    assert "run" not in capsys.readouterr().out.split()


def test_without_the_extra_it_is_named(checkpoint):
    blocked = (
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name in ('torch', 'litgpt'):\n"
        "            raise ImportError(name=name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
        "from kis_plugin.cli.main import main; main(prog_name='kis')"
    )
    command = [sys.executable, "-c", blocked, "probe", "--model", str(checkpoint / "out" / "final")]
    path = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [*command, "--knowledge", str(checkpoint / "facts.jsonl")], env=path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "pip install 'kis-plugin[litgpt]'" in done.stderr
    assert "Traceback" not in done.stderr
