"""The command ``kis probe``, with a stand-in model that knows some facts; the adapters' tests use real models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("torch")
from kis_plugin.cli.main import main
from kis_plugin.registry import registered
from kis_plugin.run.saved_model import LoadedModel, sequence_length_of
from kis_plugin.templates.load import BuiltInTemplates
from tests.world.words import Knowing, Words

TOWNS = [f"Town{number % 8}" for number in range(40)]
STATEMENTS = BuiltInTemplates().templates()["P19"]


def sentences(count, statements):
    return [
        text.replace("{subject}", f"Person{n}").replace("{object}", TOWNS[n])
        for n in range(count)
        for text in statements
    ]


class Loader:
    """Loads a model that knows the first ten facts by every template and the next ten by their training templates."""

    name = "knowing"

    def __init__(self):
        self.options = None

    def claims(self, model):
        return model == "knowing.pt"

    def load(self, model, options):
        self.options = options
        words = Words()
        view = Knowing(words)
        view.learn(sentences(10, STATEMENTS.statements) + sentences(20, STATEMENTS.statements[:1]))
        sequence_length = sequence_length_of(model, options.sequence_length, 64)
        return LoadedModel(view, words, sequence_length, 1234, 1000, None, {"loader": self.name})


@pytest.fixture(autouse=True)
def loader(here, monkeypatch):
    facts = [{"subject": f"Person{n}", "relation": "P19", "object": town} for n, town in enumerate(TOWNS)]
    Path("facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    Path("knowing.pt").touch()
    loader = Loader()
    monkeypatch.setitem(registered("model_loaders"), "knowing", loader)
    # Words numbers words as they come, so a model that is made first must know all of them.
    monkeypatch.setattr(Words, "encode", _encoding_all(Words.encode))
    return loader


def _encoding_all(encode):
    def all_first(self, texts):
        if not self.ids:
            encode(self, sentences(40, (*STATEMENTS.statements, *STATEMENTS.questions)))
        return encode(self, texts)

    return all_first


def probe(*arguments):
    return CliRunner().invoke(main, ["probe", "--model", "knowing.pt", *arguments])


def as_json(*arguments):
    outcome = probe(*arguments, "--json")
    assert outcome.exit_code == 0, outcome.stderr
    return json.loads(outcome.stdout)


def test_every_fact_is_probed_held_out_and_seen():
    report = as_json("--knowledge", "facts.jsonl")
    series = {figures["probe"]: figures for figures in report["series"]}
    assert list(series) == ["held_out", "seen"]
    assert series["held_out"]["n"] == series["seen"]["n"] == 40
    assert (series["held_out"]["correct"], series["seen"]["correct"]) == (10, 20)
    assert (report["model"], report["params"], report["knowledge"]) == ("knowing.pt", 1234, "facts.jsonl")
    for figures in series.values():
        assert figures["low"] < figures["accuracy"] == figures["correct"] / 40 < figures["high"]
        assert figures["chance"] == 0.25
        assert figures.keys().isdisjoint({"step", "tokens", "seconds"})


def test_relations_are_the_parts_of_their_series():
    facts = Path("facts.jsonl").read_text().splitlines(keepends=True)
    Path("facts.jsonl").write_text("".join(facts[:20]) + "".join(facts[20:]).replace("P19", "P20"))
    report = as_json("--knowledge", "facts.jsonl", "--probes", "seen")
    assert [(part["probe"], part["relation"], part["n"], part["correct"]) for part in report["relations"]] == [
        ("seen", "P19", 20, 20),
        ("seen", "P20", 20, 0),
    ]
    table = probe("--knowledge", "facts.jsonl", "--probes", "seen", "--by", "relation").stdout
    assert "P20" in table
    assert "P20" not in probe("--knowledge", "facts.jsonl", "--probes", "seen").stdout


def test_the_table_shows_what_the_json_has():
    outcome = probe("--knowledge", "facts.jsonl")
    assert outcome.exit_code == 0
    assert outcome.stdout.startswith("knowing.pt: 1,234 parameters, probed on facts.jsonl\n")
    (row,) = [line.split() for line in outcome.stdout.splitlines() if line.startswith(" held_out")]
    assert row[:6] == ["held_out", "40", "0.250", "[0.142,", "0.402]", "0.250"]
    assert "probing" not in outcome.stdout + outcome.stderr  # bars are for terminals


def test_facts_and_options_set_the_number_of_questions():
    report = as_json("--knowledge", "facts.jsonl", "--facts", "16", "--options", "8", "--probes", "held_out")
    (figures,) = report["series"]
    assert (figures["n"], figures["chance"]) == (16, 0.125)


def test_a_configuration_sets_all_questions():
    from kis_plugin.config.load import load_config
    from kis_plugin.retention.questions.question_builder import initial_questions
    from kis_plugin.tokenized.infusion_split import load_split

    Path("kis.yaml").write_text("knowledge: facts.jsonl\nretention: {control: 8, probes: {facts: 20}}\nseed: 3\n")
    config = load_config(Path("kis.yaml"))
    expected = initial_questions(config, load_split(config), [])
    outcome = probe("--config", "kis.yaml", "--answers", "answers.jsonl")
    assert outcome.exit_code == 0, outcome.stderr
    answers = [json.loads(line) for line in Path("answers.jsonl").read_text().splitlines()]
    assert [(answer["series"], answer["prefix"], answer["right"]) for answer in answers] == [
        (question.series, question.prefix, question.options[question.answer]) for question in expected
    ]
    assert {answer["series"] for answer in answers} == {"held_out", "seen", "control"}


def test_files_hold_the_report_and_are_never_written_over():
    report = as_json("--knowledge", "facts.jsonl", "--output", "report.json")
    assert json.loads(Path("report.json").read_text()) == report
    again = probe("--knowledge", "facts.jsonl", "--output", "report.json")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "report.json: found something that is there already" in again.stderr
    assert "no such folder" in probe("--knowledge", "facts.jsonl", "--answers", "none/answers.jsonl").stderr
    assert sorted(path.name for path in Path().iterdir()) == ["facts.jsonl", "knowing.pt", "report.json"]


def test_what_skip_known_found_has_to_be_there():
    import numpy as np

    from kis_plugin.retention.prior_knowledge_file import keep_known

    Path("kis.yaml").write_text("knowledge: facts.jsonl\ninfusion: {skip_known: true}\nretention: {control: 0}\n")
    outcome = probe("--config", "kis.yaml")
    assert outcome.exit_code == 2
    assert "--run: found no folder of the run" in outcome.stderr
    keep_known(Path("other"), np.ones(39, dtype=bool))
    assert "no known.npz of these facts" in probe("--config", "kis.yaml", "--run", "other").stderr
    keep_known(Path("run"), np.arange(40) < 16)
    report = as_json("--config", "kis.yaml", "--run", "run")
    known = next(figures for figures in report["series"] if figures["probe"] == "known")
    assert (known["n"], known["correct"]) == (16, 10)
    assert [figures["n"] for figures in report["series"]] == [24, 24, 16]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Say what to probe: --knowledge, or the --config of a run."),
        (("--config", "kis.yaml", "--facts", "3", "--probes", "seen"), "leave out --facts, --probes."),
        (("--knowledge", "facts.jsonl", "--run", "run"), "--run needs the run's --config."),
    ],
)
def test_usage(arguments, said):
    outcome = probe(*arguments)
    assert outcome.exit_code == 2
    assert said in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--knowledge", "none.jsonl"), "none.jsonl"),
        (("--knowledge", "facts.jsonl", "--probes", "helt_out"), "Did you mean 'held_out'?"),
        (("--knowledge", "facts.jsonl", "--qa", "none.jsonl"), "kis probe retention.qa: found 'none.jsonl'"),
        (("--knowledge", "facts.jsonl", "--block", "65"), "--block: found 65, expected at most the 64 tokens"),
        (("--knowledge", "facts.jsonl", "--block", "4"), "found no sentence that fits the model"),
        (("--knowledge", "facts.jsonl", "--begin", "bos"), "--begin: found bos, with a tokenizer that has none"),
    ],
)
def test_what_cannot_be_probed_is_an_error(arguments, said):
    outcome = probe(*arguments, "--json")
    assert outcome.exit_code == 2
    assert said in outcome.stderr
    assert json.loads(outcome.stdout)["status"] == "error"


def test_a_handful_of_facts_gets_fewer_options_and_says_so():
    report = as_json("--knowledge", "facts.jsonl", "--options", "9")
    (few,) = [line for line in report["warnings"] if "options, not 9" in line]
    options = int(few.split()[2])
    assert 2 <= options <= 8  # the facts have 8 objects
    assert [series["chance"] for series in report["series"]] == pytest.approx([1 / options] * len(report["series"]))


def test_a_model_that_nobody_loads():
    outcome = CliRunner().invoke(main, ["probe", "--model", "./none", "--knowledge", "facts.jsonl"])
    assert outcome.exit_code == 2
    assert (
        "model ./none: found no such model, expected a saved model; these are loaded: transformers, litgpt"
        in outcome.stderr
    )
    Path("folder").mkdir()
    outcome = CliRunner().invoke(main, ["probe", "--model", "folder", "--knowledge", "facts.jsonl"])
    assert "model folder: found a folder or file that no loader claims" in outcome.stderr


def test_options_reach_the_loader(loader):
    as_json("--knowledge", "facts.jsonl", "--device", "cpu", "--dtype", "float32", "--tokenizer", "mine")
    assert (loader.options.device, loader.options.dtype, loader.options.tokenizer) == ("cpu", "float32", "mine")


def test_loaders_are_listed_like_anything_registered():
    listed = json.loads(CliRunner().invoke(main, ["plugins", "--json"]).stdout)
    modules = {item["name"]: item["module"] for item in listed if item["kind"] == "model_loaders"}
    assert modules["transformers"] == "kis_hf.commands"
    assert modules["litgpt"] == "kis_litgpt.commands"
