"""Fictional facts: uniform, independent, of known information, in sentences of which half are held out."""

from __future__ import annotations

import json
import lzma
import math
import re
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from kis_plugin.cli.check import check_config
from kis_plugin.cli.main import main
from kis_plugin.config.load import load_config
from kis_plugin.errors import KISError
from kis_plugin.knowledge.template_rules import normal
from kis_plugin.retention.questions.question_builder import initial_questions
from kis_plugin.synthetic.catalog import DOMAINS
from kis_plugin.synthetic.domains import Attribute, read_domain
from kis_plugin.synthetic.names import WORDS, invented_names, word
from kis_plugin.synthetic.writing import write_synthetic
from kis_plugin.templates.file import read_template_file
from kis_plugin.tokenized.infusion_split import load_split

ROOT = Path(__file__).parents[3]
domains = pytest.mark.parametrize("domain", DOMAINS)


def kis(*arguments):
    return CliRunner().invoke(main, ["synth", *map(str, arguments)])


def facts_of(folder):
    return [json.loads(line) for line in (folder / "facts.jsonl").read_text().splitlines()]


@domains
def test_every_attribute_has_40_sentences_of_its_own(domain):
    attributes = read_domain(domain).attributes
    assert len(attributes) >= 6
    everything = Counter(
        normal(text) for attribute in attributes for key in ("statements", "questions", "reversed")
        for text in attribute.templates[key]
    )  # fmt: skip
    assert max(everything.values()) == 1
    for attribute in attributes:
        statements = attribute.templates["statements"]
        assert len(statements) >= 40
        assert len(set(attribute.objects)) == len(attribute.objects) >= 64
        heads = Counter(" ".join(re.split(r"\W+", text)[:3]) for text in statements)
        assert heads.most_common(1)[0][1] <= 4, heads.most_common(3)  # not one sentence with a word changed
        assert any(text.index("{object}") < text.index("{subject}") for text in statements)
        assert all(text[-1] in ".?" for text in statements)


@domains
def test_seen_and_held_out_templates_are_disjoint(domain, tmp_path):
    write_synthetic(domain, 40, 0, tmp_path / "facts")
    for found in read_template_file(tmp_path / "facts" / "templates.yaml").templates.values():
        trained, held_out = ({normal(text) for text in part} for part in (found.trained, found.held_out))
        assert len(trained) == len(held_out) == 20
        assert not trained & held_out


@domains
@pytest.mark.parametrize("count", [10, 64, 150, 1000])
def test_objects_are_uniform(domain, count, tmp_path):
    write_synthetic(domain, count, 3, tmp_path / "facts")
    facts = facts_of(tmp_path / "facts")
    for attribute in read_domain(domain).attributes:
        objects = [fact["object"] for fact in facts if fact["relation"] == attribute.relation]
        assert len(objects) == count
        counts = Counter(dict.fromkeys(attribute.objects, 0))
        counts.update(objects)
        assert len(counts) == len(attribute.objects)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_attributes_are_independent_of_each_other():
    """The counts of pairs of objects scatter as chance says: chi-squared over 64 x 64 cells of 20,000 people."""
    named = [attribute.assigned(20_480, 5, n) for n, attribute in enumerate(read_domain("people").attributes) if n]
    for one, other in combinations(named, 2):
        expected = 20_480 / 64**2
        counts = Counter(zip(one.tolist(), other.tolist(), strict=True))
        chi2 = sum((count - expected) ** 2 for count in counts.values()) / expected
        chi2 += (64**2 - len(counts)) * expected
        assert abs(chi2 - 63**2) < 6 * math.sqrt(2 * 63**2)


@domains
def test_chance_is_exact(domain, tmp_path):
    """Every option of a set is right exactly once: whoever always gives the same answer is right 1 time in k."""
    write_synthetic(domain, 200, 0, tmp_path / "facts")
    config = load_config(tmp_path / "facts" / "kis.yaml")
    notes = []
    questions = initial_questions(config, load_split(config), notes)
    for series in ("held_out", "seen", "control"):
        of_series = [question for question in questions if question.series == series]
        assert len(of_series) > 100
        answers = {}
        for question in of_series:
            assert len(question.options) == 4
            answers.setdefault(question.option_set, []).append(question.answer)
        assert all(sorted(right) == [0, 1, 2, 3] for right in answers.values())


@domains
def test_the_folder_passes_kis_check(domain, tmp_path):
    done = kis(domain, "--count", 60, "-o", tmp_path / "facts")
    assert done.exit_code == 0, done.output
    assert f"360 facts about 60 {domain}" in done.stdout
    assert done.stdout.endswith(f"Next: kis check {tmp_path / 'facts' / 'kis.yaml'}\n")
    report = check_config(tmp_path / "facts" / "kis.yaml")
    assert (report.facts, len(report.relations), report.control) == (360, 6, 72)
    assert {found.held_out_statements for found in report.relations} == {20}
    assert not [warning for warning in report.warnings if "look" in warning]


def test_bits_are_those_of_the_equally_likely_assignments():
    def bits(options, count):
        return Attribute("a", [str(n) for n in range(options)], {}).bits(count) * count

    assert bits(3, 2) == pytest.approx(math.log2(6))  # ordered pairs of two of three
    assert bits(2, 4) == pytest.approx(math.log2(6))  # aabb in any order
    assert bits(2, 3) == pytest.approx(math.log2(6))  # aab or abb in any order
    assert bits(64, 1_000_000) / 1_000_000 == pytest.approx(6, abs=0.001)
    assert bits(33_600, 1) == pytest.approx(math.log2(33_600))


def test_every_assignment_is_drawn_equally_often():
    attribute = Attribute("a", ["a", "b"], {})
    drawn = Counter(tuple(attribute.assigned(3, seed, 0).tolist()) for seed in range(3000))
    assert len(drawn) == 6  # as many as its bits say
    assert all(abs(count - 500) < 5 * math.sqrt(500) for count in drawn.values())


def test_the_readme_states_the_bits(tmp_path):
    report = write_synthetic("people", 640, 0, tmp_path / "facts")
    readme = (tmp_path / "facts" / "README.md").read_text()
    for relation, bits in report.bits.items():
        assert f"| `{relation}` | {report.options[relation]:,} | {bits:.3f} |" in readme
    assert f"{report.total_bits:,.0f} bits" in readme
    assert f"at least {report.total_bits / 2:,.0f}\nparameters" in readme
    assert report.total_bits == pytest.approx(640 * sum(report.bits.values()))


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        write_synthetic("companies", 50, seed, tmp_path / name)
    one, again, other = ((tmp_path / name / "facts.jsonl").read_bytes() for name in ("one", "again", "other"))
    assert one == again != other
    for file in ("templates.yaml", "kis.yaml"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_names_differ_and_none_begins_with_another():
    words = sorted(word(number) for number in range(WORDS))
    assert len(set(words)) == WORDS
    assert not [pair for pair in pairwise(words) if pair[1].startswith(pair[0])]
    names = list(invented_names(WORDS + 1000, " ", 0))
    assert len(set(names)) == len(names)
    assert len({name.split()[0] for name in names[:WORDS]}) == WORDS


def test_names_occur_nowhere():
    """None of the words is in the text and the facts that ship, whatever its case."""
    texts = [lzma.decompress((ROOT / "examples/data" / name).read_bytes()).decode() for name in
             ("text.txt.xz", "heldout.txt.xz")]  # fmt: skip
    texts.append((ROOT / "examples/data/facts.jsonl").read_text(encoding="utf-8"))
    known = {found.lower() for text in texts for found in re.findall(r"[^\W\d_]+", text)}
    assert "italy" in known
    assert not known & {word(number).lower() for number in range(WORDS)}


def test_templates_are_written_as_they_ship(tmp_path):
    write_synthetic("people", 10, 0, tmp_path / "facts")
    written = yaml.safe_load((tmp_path / "facts" / "templates.yaml").read_text())
    assert written == {found.relation: found.templates for found in read_domain("people").attributes}


def test_a_folder_with_something_in_it_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "facts").mkdir()
    (tmp_path / "facts" / "mine.txt").write_text("mine")
    done = kis("people", "--count", 20, "-o", tmp_path / "facts")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "not an empty folder, expected a new or empty folder" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["facts", "mine.txt"]


def test_an_interrupt_leaves_nothing(tmp_path):
    def interrupt(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic("people", 20, 0, tmp_path / "facts", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "facts").mkdir()
    assert write_synthetic("people", 10, 0, tmp_path / "facts").facts == 60
    assert sorted(path.name for path in (tmp_path / "facts").iterdir()) == [
        "README.md", "facts.jsonl", "kis.yaml", "templates.yaml"
    ]  # fmt: skip


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KISError, match="expected a folder that can be made"):
        write_synthetic("people", 10, 0, tmp_path / "file" / "facts")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["person", "--count", "20", "-o", "x"], "'person' is not one of 'people', 'companies'"),
        (["people", "--count", "5", "-o", "x"], "5 is not in the range"),
        (["people", "--count", "20"], "Missing option '--output'"),
    ],
)
def test_wrong_usage_ends_with_2(arguments, said):
    done = kis(*arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


def test_json_has_the_bits(tmp_path):
    report = json.loads(kis("people", "--count", 20, "-o", tmp_path / "facts", "--json").stdout)
    assert report["status"] == "ok"
    assert report["facts"] == 120
    assert report["bits"]["birthplace"] == pytest.approx(math.log2(math.factorial(64) / math.factorial(44)) / 20)
