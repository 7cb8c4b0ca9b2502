"""The advice of kis check: each kind where it applies, none where nothing is wrong, figures as in the studies."""

from __future__ import annotations

import csv
import json
import re
from math import log2
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kis_plugin.cli import study_figures as study
from kis_plugin.cli.advice import information
from kis_plugin.cli.check import check_config
from kis_plugin.cli.main import main
from kis_plugin.knowledge.fact_codes import coded
from kis_plugin.knowledge.facts import Fact
from kis_plugin.retention.intervals import difference, least_above, wilson
from kis_plugin.synthetic.writing import write_synthetic

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    """1,200 facts about 200 people, with 20 training templates each."""
    folder = tmp_path_factory.mktemp("synth") / "facts"
    write_synthetic("people", 200, 0, folder)
    return folder


@pytest.fixture
def check(facts, tmp_path):
    def run(infusion, retention=None, knowledge=facts / "facts.jsonl", templates=facts / "templates.yaml", **options):
        values = {"knowledge": str(knowledge), "infusion": infusion, "run_log": str(tmp_path / "runs")}
        values |= {"retention": retention} if retention else {}
        values |= {"templates": str(templates)} if templates else {}
        (tmp_path / "kis.yaml").write_text(json.dumps(values))
        return check_config(tmp_path / "kis.yaml", **options).advice

    return run


def keys(advice):
    return [found.key for found in advice]


def test_nothing_is_said_where_nothing_is_wrong(check):
    assert check({"frequency": 100}) == ()
    assert check({"frequency": 100}, params=1_000_000, tokens=100_000_000) == ()
    assert check({"share": 0.1}) == ()
    assert check({"tokens": "5M"}, tokens=100_000_000) == ()


def test_the_run_to_compare_with_needs_no_exposures(check):
    assert check({"frequency": 0}, params=1000) == ()


@pytest.mark.parametrize(
    ("frequency", "said"),
    [(10, "retained anything at fewer than 44"), (43, "fewer than 44"), (44, "0.26 to 0.39 with 60"), (96, "122")],
)
def test_few_exposures(check, frequency, said):
    (found,) = check({"frequency": frequency})
    assert (found.key, said in found.found) == ("infusion.frequency", True)
    assert "give --params" in found.change
    assert found.found.startswith(f"{frequency} exposures of each fact.")


def test_exposures_of_large_models_are_not_judged(check):
    assert check({"frequency": 10}, params=21_000_000) == ()
    assert keys(check({"frequency": 10}, params=20_000_000)) == ["infusion.frequency"]


def test_exposures_are_computed_from_a_share_of_known_tokens(check):
    (found,) = check({"share": 0.01}, tokens=10_000_000)  # 100,000 tokens for 1,002 facts
    assert found.key == "infusion"
    assert 6 < float(found.found.split()[0]) < 10  # of 10 to 17 tokens


@pytest.mark.parametrize("infusion", [{"max_templates": 4}, {"template_order": "first"}, {"rendering": "triples"}])
def test_few_templates_by_configuration(check, infusion):
    (found,) = check({"frequency": 100, **infusion})
    assert found.key == f"infusion.{next(iter(infusion))}"
    number = 4 if "max_templates" in infusion else 1
    assert f"in {number} template{'s' * (number > 1)} at most" in found.found
    assert "0.31 with 1, 0.37 with 3, 0.58 to 0.68 with 5, 0.65 with 10" in found.found


def test_ten_templates_are_enough(check):
    assert check({"frequency": 100, "max_templates": 10}) == ()


def test_few_templates_by_relation(check, tmp_path):
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        lines = [(f"A{n}", relation, f"B{n}") for n in range(140) for relation in ("P19", "P36", "motto", "age")]
        csv.writer(file).writerows([("subject", "relation", "object"), *lines])
    (found,) = check({"frequency": 100}, knowledge=tmp_path / "mine.csv", templates=None)
    assert found.key == "templates"
    assert found.found.startswith("4 relations with fewer than 10 training templates (")
    assert found.found.count(": 2") == 3
    assert ", and 1 more)" in found.found
    assert "kis init" in found.change


def test_a_name_that_reads_badly_is_shown_with_its_sentence(check, tmp_path):
    names = ("P9999", "capital of", "r12", "motto", "x1", "x2")
    lines = [{"subject": f"S{n}", "relation": relation, "object": f"O{n % 9}"} for relation in names for n in range(50)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    advice = check({"frequency": 100}, knowledge=tmp_path / "own.jsonl", templates=None)
    (found,) = [one for one in advice if "read well" in one.found]
    assert found.key == "templates"
    assert "4 relations without templates" in found.found
    assert re.search(r"P9999: 'The P9999 of S\d+ is O\d\.'", found.found)
    assert "and 1 more" in found.found
    assert "capital of" not in found.found
    assert "motto" not in found.found
    assert "label: capital" in found.change


def test_a_share_that_leaves_little_text(check):
    (found,) = check({"share": 0.4})
    assert found.key == "infusion.share"
    assert found.found.startswith("40% of the tokens are facts")
    assert keys(check({"share": 0.35})) == []


def test_a_high_share_asks_for_more_templates_where_there_are_fewer_than_twenty(check):
    (many,), (few,) = check({"share": 0.4}), check({"share": 0.4, "max_templates": 10})
    assert "emplates" not in str(many)
    assert "0.50 with 5, 0.64 with 10, 0.87 with 20 training templates" in few.found
    assert "write 40 statements a relation" in few.change


def test_a_share_that_follows_from_the_tokens(check):
    (found,) = check({"frequency": 100}, {"max_cost": 0.02}, tokens=2_000_000)
    assert found.key == "infusion.frequency"
    assert found.found.startswith("about ")
    assert keys(check({"tokens": "5M"}, {"max_cost": 0.02}, tokens=10_000_000)) == ["infusion.tokens"]


def test_more_bits_than_the_model_stores(check):
    found = check({"frequency": 100}, params=5_000)
    assert keys(found) == ["knowledge"]
    assert "a model of 5,000 parameters stores about 5,000 (1 a parameter after 100 exposures" in found[0].found
    assert check({"frequency": 1000}, params=5_000) == ()  # 2 a parameter after 1,000
    assert keys(check({"frequency": 1000}, params=3_000)) == ["knowledge"]


def test_the_information_of_facts_is_the_entropy_of_their_objects():
    facts = [Fact(f"s{n}", "a", f"o{n % 4}", f"a:{n}") for n in range(8)] + [
        Fact(f"s{n}", "b", "same", f"b:{n}") for n in range(8)
    ]
    assert information(coded(facts)) == pytest.approx(8 * 2)
    uneven = [Fact(f"s{n}", "a", "x" if n else "y", f"a:{n}") for n in range(4)]
    assert information(coded(uneven)) == pytest.approx(-(3 * log2(3 / 4) + log2(1 / 4)))


def test_evaluation_that_costs_much(check):
    found = check({"frequency": 100}, {"every": 0.01}, tokens=20_000_000)
    assert keys(found) == ["retention"]
    assert "101 evaluations of" in found[0].found
    assert "max_cost: 0.02" in found[0].change
    assert check({"frequency": 100}, {"every": 0.01, "max_cost": 0.02}, tokens=20_000_000) == ()


def test_probes_that_are_too_few(check):
    (found,) = check({"frequency": 100}, {"probes": {"facts": 40}})
    assert found.key == "retention.probes.facts"
    assert "40 facts of held_out (±0.15)" in found.found
    assert found.change == "Raise retention.probes.facts from 40."
    low, high = wilson(0.5, 40)
    assert f"±{(high - low) / 2:.2f}" in found.found


def test_controls_that_are_too_few(check):
    (found,) = check({"frequency": 100}, {"control": 48})
    assert found.key == "retention.control"
    assert "48 facts of control (±0.14)" in found.found
    assert "held_out must end at about 0.39 to lie above controls that are at chance." in found.found


def test_what_the_controls_demand_of_retention_is_what_the_verdict_demands():
    least = least_above(32, 8, 0.25)
    assert least == 21 / 32  # the project of kis init
    controls = (0.25, *wilson(0.25, 8))
    assert difference((least, *wilson(least, 32)), controls)[1] > 0
    assert difference((20 / 32, *wilson(20 / 32, 32)), controls)[1] <= 0
    assert least_above(2, 2, 0.5) is None


def test_the_figures_are_those_of_the_studies():
    rows = []
    for name in ("law", "five_templates"):
        with (ROOT / "studies" / name / "results.csv").open(encoding="utf-8") as file:
            rows += [{**row, "study": name} for row in csv.DictReader(file)]
    plain = [row for row in rows if row["part"] != "arms" and float(row["share"]) < 0.35]
    below = [float(row["retention"]) for row in plain if 0 < float(row["frequency"]) < study.LEAST_EXPOSURES]
    assert len(below) > 5
    assert max(below) < 0.28
    at = [float(row["retention"]) for row in plain if float(row["frequency"]) == study.LEAST_EXPOSURES]
    assert max(at) > 0.37
    law = [row for row in rows if row["study"] == "law" and row["tokens"] == "2252800"]
    for frequency, (low, high) in ((60, study.NEAR_60), (122, study.NEAR_122)):
        reached = [float(row["retention"]) for row in law if float(row["frequency"]) == frequency]
        assert (round(min(reached), 2), round(max(reached), 2)) == pytest.approx((low, high), abs=0.011)
    assert max(int(row["params"]) for row in rows) == study.LARGEST_STUDIED


def test_templates_at_a_high_share_are_those_of_the_second_round():
    with (ROOT / "studies" / "second_round" / "results.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (row["params"], row["frequency"]) == ("474320", "402")]
    for count, retention in study.AT_HIGH_SHARE:
        parts = ("guard/warn-480k",) if count == 10 else (f"templates/t{count}",)
        reached = [float(row["retention"]) for row in rows if row["part"] in parts]
        assert len(reached) >= 2
        assert sum(reached) / len(reached) == pytest.approx(float(retention), abs=0.0051)


def test_the_command_shows_one_line_for_each(facts):
    done = CliRunner().invoke(main, ["check", str(facts / "kis.yaml"), "--params", "5k"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[lines.index("Advice:") + 1].startswith("- knowledge: the infused facts have ")
    quiet = CliRunner().invoke(main, ["check", str(facts / "kis.yaml")])
    assert "Advice" not in quiet.stdout
    report = json.loads(CliRunner().invoke(main, ["check", str(facts / "kis.yaml"), "--params", "5k", "--json"]).stdout)
    assert [found["key"] for found in report["advice"]] == ["knowledge"]
    assert set(report["advice"][0]) == {"key", "found", "change"}


def test_wrong_amounts_end_with_2(facts):
    done = CliRunner().invoke(main, ["check", str(facts / "kis.yaml"), "--params", "many"])
    assert done.exit_code == 2
    assert "found 'many', expected an amount such as 7B" in " ".join(done.stderr.split())


def test_an_array_of_no_facts_has_no_information():
    assert information(coded([]).at(np.empty(0, dtype=np.int64))) == 0


def test_what_the_litgpt_example_lacks_is_said_before_it_runs(tmp_path):
    """It shows how LitGPT is used, with two training templates: so small a run ends near chance."""
    lines = (ROOT / "examples/data/facts.jsonl").read_text(encoding="utf-8").splitlines()
    facts = [line for line in lines if json.loads(line)["relation"] == "P30"][:100]
    (tmp_path / "facts.jsonl").write_text("\n".join(facts), encoding="utf-8")
    (tmp_path / "kis.yaml").write_bytes((ROOT / "examples/litgpt/kis.yaml").read_bytes())
    advice = {found.key: found.found for found in check_config(tmp_path / "kis.yaml").advice}
    assert "1 relation with fewer than 10 training templates (P30: 2)" in advice["templates"]


def test_what_the_configuration_of_the_pages_lacks_is_said(tmp_path):
    page = (ROOT / "docs/how-to/huggingface.md").read_text(encoding="utf-8")
    (tmp_path / "kis.yaml").write_text(page.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    facts = [json.dumps({"subject": f"A{n}", "relation": "P19", "object": f"B{n % 12}"}) for n in range(180)]
    (tmp_path / "facts.jsonl").write_text("\n".join(facts), encoding="utf-8")
    assert {"templates", "infusion.frequency"} <= {found.key for found in check_config(tmp_path / "kis.yaml").advice}
