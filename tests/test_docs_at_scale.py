"""Commands of the pages on large runs and on trained checkpoints, in their order, on small stand-ins.

Amounts, sizes and the cluster are replaced by the tables below; all else is as the pages show it.
"""

from __future__ import annotations

import gzip
import json
import re
import shlex
import shutil
import tarfile
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from doc_pages import DOCS, ROOT, blocks, facts_of_one_relation

pytest.importorskip("transformers")
AT_SCALE, CONTINUED = DOCS / "how-to" / "at-scale.md", DOCS / "how-to" / "continued-pretraining.md"
SMALL = {
    "--sizes 15M,40M,100M,250M,600M": "--sizes 40k,80k --no-time",
    "--sizes 100M": "--sizes 40k --no-time",
    "--frequency 1200..340000": "--frequency 2..32",
    "--frequency 5000..100000": "--frequency 4..64",
    "--frequency 8..512": "--frequency 2..32 --no-time --block 64 --tokens 60k",
    "--tokens 4B": "--tokens 1M",
    "--block 4096": "--block 64",
    "--target 7B --tokens 140B": "--target 1M --tokens 4.5M --facts 200 --max-loss-rise 0.3",
    "--target 7B": "--target 1M",
    "--tokens 140B": "--tokens 2M",
}
LOGS = ROOT / "studies" / "law" / "logs.tar.xz"


def lines_of(page):
    """The commands of its ``sh`` blocks, with amounts replaced."""
    text = "\n".join(blocks(page, "sh"))
    used = [large for large in SMALL if large in text]
    for large in sorted(used, key=len, reverse=True):
        text = text.replace(large, SMALL[large])
    return used, [line for line in text.splitlines() if line.strip()]


def run(line):
    """Run a command in this process; return exit code and output."""
    from kis_plugin.cli.main import main
    from kis_predict.cli import command

    program, *words = shlex.split(line)
    done = CliRunner().invoke({"kis": main, "kis-predict": command}[program], words)
    return done.exit_code, done.output


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Facts, a corpus, a tokenizer and the page's own kis.yaml, in the current folder."""
    from tests.world.facts import WORDS
    from tests.world.tokenizers import make_tokenizer

    monkeypatch.chdir(tmp_path)
    facts_of_one_relation(tmp_path / "facts.jsonl")
    (tmp_path / "corpus").mkdir()
    words = [" ".join(WORDS[(n * k) % len(WORDS)] for k in range(70)) for n in range(1, 1200)]
    (tmp_path / "corpus" / "a.txt").write_text("\f".join(words))
    (tmp_path / "world.csv").write_text(
        "subject,relation,object\n" + "".join(f"Land{n},P36,City{n % 7}\n" for n in range(20))
    )
    make_tokenizer().save_pretrained("big-run-tokenizer")
    return tmp_path


def test_every_replacement_is_of_a_page():
    assert {*lines_of(AT_SCALE)[0], *lines_of(CONTINUED)[0]} == SMALL.keys()


@pytest.mark.slow
def test_the_steps_to_a_large_run_are_commands_that_run(world):
    (config,) = [text for text in blocks(AT_SCALE, "yaml") if text.startswith("# kis.yaml")]
    Path("kis.yaml").write_text(config)
    for line in lines_of(AT_SCALE)[1]:
        if line.startswith("kis sweep run"):
            continue  # its runs take a cluster; kis-predict reads those of the study of the law instead
        if line.startswith("kis-predict"):
            with tarfile.open(LOGS) as archive:
                archive.extractall("study", filter="data")
            for target, runs in (("sweep", "runs"), ("sweep-2x", "double_budget")):
                shutil.rmtree(Path(target, "runs"), ignore_errors=True)
                Path("study", runs).rename(Path(target, "runs"))
        code, output = run(line)
        if line.startswith("kis sweep next"):
            assert code == 2, output
            assert "Finish them first, with kis sweep run." in output
            continue
        assert code == 0, f"{line}\n{output}"
        if line.startswith("kis-predict"):
            assert "Infuse at most" in output
            assert Path("report.html").stat().st_size > 10_000
            assert re.search(r"(frequency|share): \d", Path("large-run.yaml").read_text())
            # As the page says: retention is copied from the sweep's configuration.
            kept = yaml.safe_load(config)
            with Path("large-run.yaml").open("a") as file:
                file.write(yaml.safe_dump({"retention": kept["retention"], "run_log": kept["run_log"]}))
    assert "run_log" in Path("large-run.yaml").read_text()  # it was predicted, inspected and prepared


@pytest.mark.slow
def test_a_sweep_from_checkpoints_is_planned_as_the_page_shows(world):
    from tests.world.models import make_model
    from tests.world.tokenizers import make_tokenizer

    for name, hidden in (("small-checkpoint", 16), ("medium-checkpoint", 32)):
        make_model(hidden=hidden).save_pretrained(name)
        make_tokenizer().save_pretrained(name)
    (line,) = [line for line in lines_of(CONTINUED)[1] if line.startswith("kis")]
    code, output = run(line)
    assert code == 0, output
    runs = sorted(Path("sweep", "configs").glob("*/run.yaml"))
    models = [yaml.safe_load(path.read_text())["model"] for path in runs]
    assert {Path(model).name for model in models} == {"small-checkpoint", "medium-checkpoint"}
    assert {yaml.safe_load(path.read_text())["recipe"]["learning_rate"] for path in runs} == {0.1 / 16, 0.1 / 32}


@pytest.mark.slow
def test_the_configuration_and_the_code_for_a_checkpoint_train(world):
    from kis_plugin.run.log import read_run_log
    from tests.world.data import BaseRows
    from tests.world.models import make_model
    from tests.world.runs import arguments
    from tests.world.tokenizers import make_tokenizer

    make_model().save_pretrained("path/to/checkpoint")
    make_tokenizer().save_pretrained("path/to/checkpoint")
    with gzip.open("held_out.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps({"text": "river stone cloud meadow " * 20}) + "\n" for _ in range(4)))
    (config,) = [text for text in blocks(CONTINUED, "yaml") if text.startswith("# kis.yaml")]
    Path("kis.yaml").write_text(config.replace("frequency: 100", "frequency: 4"))
    (code,) = [text for text in blocks(CONTINUED, "python") if "KnowledgeInfusion(" in text]
    names = {"args": arguments(world), "train": BaseRows(80, make_tokenizer())}
    exec(compile(code, str(CONTINUED), "exec"), names)
    (log,) = [read_run_log(path) for path in Path("runs").glob("*/kis.jsonl")]
    assert log.end.status == "completed"
    assert {record.probe for record in log.retention} >= {"held_out", "seen", "control", "background"}
    assert {record.split for record in log.loss} == {"general"}
