"""kis init: the files of a project fit each other and its facts, and nothing is written over."""

from __future__ import annotations

import ast
import csv
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from kis_plugin.cli.check import check_config
from kis_plugin.cli.main import main
from kis_plugin.config.load import load_config
from kis_plugin.errors import KISError
from kis_plugin.knowledge.template_rules import normal
from kis_plugin.registry import registered
from kis_plugin.starter.facts import mapped_columns
from kis_plugin.starter.protocols import Project
from kis_plugin.storage.shipped_data import sample_text, shipped
from kis_plugin.templates.file import read_template_file

TABLE = [("Norway", "P36", "Oslo"), ("Chile", "P36", "Santiago"), ("Norway", "motto", "All for Norway")]
TABLE += [(f"Land{n}", "P36", f"Town{n}") for n in range(6)] + [(f"Land{n}", "motto", f"Saying {n}") for n in range(6)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kis(*arguments):
    return CliRunner().invoke(main, ["init", *map(str, arguments)])


def write_table(name="mine.csv", header=("subject", "relation", "object")):
    with Path(name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([header, *TABLE])


def frameworks():
    return sorted(registered("starters"))


def test_the_four_frameworks_are_there():
    assert frameworks() == ["hf", "litgpt", "torch", "trl"]


@pytest.mark.parametrize("framework", frameworks())
def test_a_new_project_passes_kis_check_and_its_scripts_parse(framework):
    done = kis("run", "--for", framework)
    assert done.exit_code == 0, done.output
    command = registered("starters")[framework].command(Project("text.txt", 1, 0.1))
    assert done.stdout.endswith(f"Next: cd run && kis check kis.yaml && {command}\n")
    report = check_config(Path("run/kis.yaml"))
    assert (report.facts, len(report.relations), report.control) == (40, 1, 8)
    assert report.amount == {"frequency": 500.0}
    assert {found.held_out_statements for found in report.relations} == {20}
    for script in Path("run").glob("*.py"):
        ast.parse(script.read_text())
        assert "$" not in script.read_text()
        assert len(script.read_text().splitlines()) < 130
    for file in Path("run").glob("*.yaml"):
        assert yaml.safe_load(file.read_text())
    assert Path("run/text.txt").read_text() == sample_text(2_000_000)


def test_hf_in_the_current_folder_is_the_default(folder):
    done = kis()
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("Next: kis check kis.yaml && python train.py\n")
    assert "from kis_hf import KnowledgeInfusion" in (folder / "train.py").read_text()
    assert {path.name for path in folder.iterdir()} == {
        "facts.csv", "kis.yaml", "templates.yaml", "text.txt", "train.py"
    }  # fmt: skip


def test_the_configuration_explains_its_keys():
    kis()
    text = Path("kis.yaml").read_text()
    config = load_config(Path("kis.yaml"))
    assert (config.infusion.frequency, config.retention.every, config.seed) == (500, 0.1, 0)
    for key in ("frequency", "every", "control", "facts", "options", "templates_per_fact", "run_log"):
        (line,) = [line for line in text.splitlines() if line.strip().startswith(f"{key}:")]
        assert "# " in line, key


def test_facts_of_ones_own_keep_their_place():
    write_table()
    done = kis("run", "--facts", "mine.csv")
    assert done.exit_code == 0, done.output
    assert yaml.safe_load(Path("run/kis.yaml").read_text())["knowledge"] == "../mine.csv"
    assert not Path("run/facts.csv").exists()
    report = check_config(Path("run/kis.yaml"))
    assert (report.facts, {found.relation for found in report.relations}) == (len(TABLE), {"P36", "motto"})
    assert report.relations[0].templates.endswith("templates.yaml")


def test_every_relation_of_the_facts_has_templates_of_which_half_are_new():
    write_table()
    kis("--facts", "mine.csv")
    templates = read_template_file(Path("templates.yaml")).templates
    assert set(templates) == {"P36", "motto"}
    for found in templates.values():
        trained, held_out = ({normal(text) for text in part} for part in (found.trained, found.held_out))
        assert len(trained) == len(held_out) >= 10
        assert not trained & held_out
    assert templates["P36"].statements[0] != "The capital of {subject} is {object}."  # KIS's own ones come first
    assert "The motto of {subject} is {object}." in templates["motto"].trained


@pytest.mark.parametrize(
    ("relation", "first", "question"),
    [
        ("capital of", "{subject} is the capital of {object}.", "{subject} is the capital of what? {object}"),
        ("has owner", "The owner of {subject} is {object}.", "What is the owner of {subject}? {object}"),
        ("works at", "{subject} works at {object}.", "{subject} works at what? {object}"),
    ],
)
def test_names_that_are_no_nouns_get_sentences_that_read_well(relation, first, question):
    Path("mine.csv").write_text("subject,relation,object\n" + "".join(f"A{n},{relation},B{n}\n" for n in range(20)))
    kis("--facts", "mine.csv")
    found = read_template_file(Path("templates.yaml")).templates[relation]
    assert found.trained[0] == first
    assert question in found.questions
    assert len(found.statements) == 20
    assert not any(" of of " in text or "has has" in text or "is is" in text for text in found.statements)
    assert not any(advice.key == "templates" for advice in check_config(Path("kis.yaml")).advice)


def test_relations_of_kis_synth_get_its_sentences():
    Path("mine.csv").write_text("subject,relation,object\n" + "".join(f"A{n},employer,B{n}\n" for n in range(20)))
    kis("--facts", "mine.csv")
    assert len(read_template_file(Path("templates.yaml")).templates["employer"].statements) == 40


@pytest.mark.parametrize(
    ("header", "options", "columns"),
    [
        (("head", "rel", "tail"), (), {"subject": "head", "relation": "rel", "object": "tail"}),
        (("Entity", "Property", "Value"), (), {"subject": "Entity", "relation": "Property", "object": "Value"}),
        (("country", "key", "it is"), ("--subject", "country", "--relation", "key", "--object", "it is"),
         {"subject": "country", "relation": "key", "object": "it is"}),
        (("country", "relation", "object"), ("--subject", "country"),
         {"subject": "country", "relation": "relation", "object": "object"}),
    ],
)  # fmt: skip
def test_columns_of_other_names_are_mapped(header, options, columns):
    write_table(header=header)
    done = kis("--facts", "mine.csv", *options)
    assert done.exit_code == 0, done.output
    assert yaml.safe_load(Path("kis.yaml").read_text())["columns"] == columns
    assert f"subject is {columns['subject']}" in done.stdout
    assert check_config(Path("kis.yaml")).facts == len(TABLE)


def test_known_columns_need_no_mapping():
    write_table()
    Path("facts.jsonl").write_text('{"sub_label": "a", "relation": "b", "obj_label": "c"}\n')
    assert mapped_columns(Path("mine.csv"), {}) == {}
    assert mapped_columns(Path("facts.jsonl"), {}) == {}


def test_columns_that_cannot_be_mapped_are_named():
    write_table(header=("a", "b", "c"))
    done = kis("--facts", "mine.csv", "--subject", "x")
    assert done.exit_code == 2
    assert done.stderr.startswith("kis: 3 problems:")
    assert "--subject: found 'x', expected one of the columns of mine.csv: a, b, c" in done.stderr
    assert "found the columns a, b, c, expected one that holds the object. Name it: --object COLUMN." in done.stderr
    assert [path.name for path in Path().iterdir()] == ["mine.csv"]


@pytest.mark.parametrize("name", ["kis.yaml", "templates.yaml", "train.py", "facts.csv", "text.txt"])
def test_nothing_is_written_over(name, folder):
    Path(name).write_text("mine")
    done = kis()
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"{name}: found a file that is there already, expected none. Nothing was written." in done.stderr
    assert [path.name for path in folder.iterdir()] == [name]
    assert Path(name).read_text() == "mine"


def test_a_second_project_in_one_folder_is_refused_with_every_file():
    kis()
    before = {path: path.read_bytes() for path in Path().iterdir()}
    done = kis()
    assert done.exit_code == 2
    assert done.stderr.startswith("kis: 5 problems:")
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_text_of_ones_own_is_not_copied():
    Path("it's mine.txt").write_text("Some text.")
    kis("run", "--text", "it's mine.txt")
    assert not Path("run/text.txt").exists()
    assert 'TEXT = Path("../it\'s mine.txt")' in Path("run/train.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--for", "pytorch"], "--for: found 'pytorch', expected one of the installed starters. Did you mean 'torch'?"),
        (["--facts", "no.csv"], "no.csv: found no such file"),
        (["--text", "no.txt"], "--text no.txt: found no such file or folder"),
        (["--subject", "a"], "--subject names a column of --facts: give both."),
    ],
)
def test_wrong_usage_ends_with_2_and_writes_nothing(arguments, said, folder):
    done = kis(*arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert list(folder.iterdir()) == []


def test_documents_are_no_facts():
    Path("notes.txt").write_text("A text.")
    done = kis("--facts", "notes.txt")
    assert done.exit_code == 2
    assert "found documents, expected facts" in done.stderr


def test_the_same_command_gives_the_same_bytes():
    kis("one")
    kis("two")
    files = {path.name for path in Path("one").iterdir()}
    assert all(Path("one", name).read_bytes() == Path("two", name).read_bytes() for name in files)


def test_more_facts_get_more_steps(folder):
    lines = [json.dumps({"subject": f"Person {n}", "relation": "P19", "object": f"Town{n % 9}"}) for n in range(2000)]
    Path("facts.jsonl").write_text("\n".join(lines))
    kis("few")
    kis("many", "--facts", "facts.jsonl")
    steps = [int(Path(name, "train.py").read_text().split("RATE = 64, 8, ")[1].split(",")[0]) for name in
             ("few", "many")]  # fmt: skip
    assert steps[0] == 2800  # 40 facts, 500 times each
    # At most three tenths are infused: 2,000 facts of 17 tokens, 100 times each.
    assert 2000 * 100 * 14 / 0.3 < steps[1] * 64 * 8 < 2000 * 100 * 22 / 0.3


@pytest.mark.parametrize(
    ("facts", "exposures", "said"),
    [
        (20, 500, "20 facts take about 180K tokens so, at most 0.3 of the run. Small models need many"),
        (200, 410, "200 facts take about 1.5M tokens so, at most 0.3 of the run. As many as fit a run of 5M tokens"),
        (1000, 100, "1,000 facts take about 1.8M tokens so, at most 0.3 of the run. With fewer, small models"),
        (5000, 100, "5,000 facts take about 9M tokens so, at most 0.3 of the run. With fewer, small models"),
    ],
)
def test_exposures_follow_from_the_number_of_facts(facts, exposures, said):
    lines = [{"subject": f"Person {n:04}", "relation": "P19", "object": f"Town{n % 9}"} for n in range(facts)]
    Path("mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    kis("run", "--facts", "mine.jsonl")
    assert load_config(Path("run/kis.yaml")).infusion.frequency == exposures
    assert f"# {said}" in Path("run/kis.yaml").read_text()
    report = check_config(Path("run/kis.yaml"), params=250_000, tokens=_tokens_of(Path("run/train.py")))
    assert not {"infusion.frequency", "infusion"} & {advice.key for advice in report.advice}


def _tokens_of(script):
    return int(script.read_text().split("RATE = 64, 8, ")[1].split(",")[0]) * 64 * 8


def test_an_interrupted_write_leaves_nothing(folder, monkeypatch):
    from kis_plugin.starter import project

    def fail(path, content, overwrite):
        if path.name == "train.py":
            raise KISError("no space")
        path.write_text(content)

    monkeypatch.setattr(project, "write_atomically", fail)
    assert kis("run").exit_code == 2
    assert list(Path("run").iterdir()) == []


def test_shipped_data_is_found():
    assert shipped("examples/data/text.txt.xz").is_file()
    assert sample_text(14) == "Emma Woodhouse"
    assert len(sample_text(2_000_000)) == 2_000_000
