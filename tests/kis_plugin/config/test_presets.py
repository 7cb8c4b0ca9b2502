"""``infusion.preset: skill``: SKILL's setting in one line, down to the trained tokens."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from kis_plugin.config.choice import Choice
from kis_plugin.config.load import load_config
from kis_plugin.config.schema import InfusionConfig
from kis_plugin.errors import KISError
from kis_plugin.infusion.build_plan import plan_infusion
from kis_plugin.infusion.inputs import load_inputs
from kis_plugin.knowledge.facts import Fact
from kis_plugin.templates.load import load_templates
from kis_plugin.templates.renderers import Triples
from tests.world.plain import Letters

TRIPLES = Choice("triples", {"subject_last": True})


def configured(folder, infusion):
    facts = [{"subject": f"Film{n}", "relation": "award", "object": f"Prize{n % 5}"} for n in range(20)]
    (folder / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    (folder / "kis.yaml").write_text(f"knowledge: facts.jsonl\nretention: {{control: 0}}\ninfusion: {infusion}\n")
    return load_config(folder / "kis.yaml")


def test_one_line_is_skills_setting(tmp_path):
    infusion = configured(tmp_path, "{preset: skill}").infusion
    assert (infusion.share, infusion.frequency, infusion.tokens) == (0.5, None, None)
    assert (infusion.rendering, infusion.template_order, infusion.loss) == (TRIPLES, "cycle", "object")
    assert InfusionConfig(preset="skill") == infusion  # made in code
    # A sweep sets the frequency of each run.
    assert replace(infusion, frequency=7.0, share=None).share is None


def test_an_amount_beside_it_takes_the_place_of_its_share(tmp_path):
    infusion = configured(tmp_path, "{preset: skill, frequency: 7}").infusion
    assert (infusion.share, infusion.frequency, infusion.loss) == (None, 7, "object")
    again = configured(tmp_path, "{preset: skill, rendering: {name: triples, subject_last: true, end: .}}").infusion
    assert again.rendering.options["end"] == "."


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("loss: all", r"kis.yaml:3 infusion.loss: found 'all' beside preset: skill, expected object"),
        ("rendering: sentences", r"found 'sentences' beside preset: skill, expected triples \(subject_last: True\)"),
        ("rendering: triples", r"found 'triples' beside preset: skill"),
        ("template_order: first", r"infusion.template_order: found 'first' beside preset: skill, expected cycle"),
    ],
)
def test_what_contradicts_the_preset_is_refused(tmp_path, more, message):
    with pytest.raises(KISError, match=message):
        configured(tmp_path, f"{{preset: skill, {more}}}")


def test_no_other_preset(tmp_path):
    with pytest.raises(KISError, match="found 'skil', expected 'skill' or 'skill-baseline'"):
        configured(tmp_path, "{preset: skil}")


def test_the_baseline_infuses_nothing_and_differs_in_nothing_else(tmp_path):
    infused, baseline = (configured(tmp_path, f"{{preset: {name}}}").infusion for name in ("skill", "skill-baseline"))
    assert (baseline.frequency, baseline.share, baseline.tokens) == (0, None, None)
    assert replace(baseline, frequency=None, share=0.5, preset="skill") == infused
    assert configured(tmp_path, "{preset: skill-baseline, frequency: 0}").infusion == baseline


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("frequency: 7", "infusion.frequency: found 7.* beside preset: skill-baseline, expected no amount"),
        ("share: 0.5", "infusion.share: found 0.5 beside preset: skill-baseline"),
        ("tokens: 5k", "infusion.tokens: found .* beside preset: skill-baseline"),
        ("loss: all", "found 'all' beside preset: skill-baseline, expected object"),
    ],
)
def test_what_contradicts_the_baseline_is_refused(tmp_path, more, message):
    with pytest.raises(KISError, match=message):
        configured(tmp_path, f"{{preset: skill-baseline, {more}}}")


def test_half_of_the_rows_are_as_many_general_tokens(tmp_path):
    length, rows = 128, 400
    plan = plan_infusion(load_inputs(configured(tmp_path, "{preset: skill}"), Letters(), length), rows)
    general = rows * length - plan.infused_tokens
    inputs = load_inputs(configured(tmp_path, "{preset: skill-baseline}"), Letters(), length)
    baseline = plan_infusion(inputs, rows // 2)
    assert baseline.infused_tokens == baseline.infused_rows == 0
    assert abs(general - rows // 2 * length) < length  # less than a row: a share is not a whole number of exposures


def test_the_subject_is_last_in_half_of_the_exposures_and_the_last_name_is_trained(tmp_path):
    config = configured(tmp_path, "{preset: skill, frequency: 6}")
    inputs = load_inputs(config, Letters(), 128)
    texts, letters = inputs.texts, Letters()
    assert texts.templates == 2
    seen = {}
    for text in range(2 * len(texts)):
        part = slice(texts.offsets[text], texts.offsets[text + 1])
        ids = texts.tokens[part].tolist()
        trained = [token for token, target in zip(ids, texts.targets[part], strict=True) if target]
        seen[text] = (letters.decode([token for token in ids if token != letters.eos]), letters.decode(trained))
    assert seen[3] == ("Film3, award, Prize3", "Prize3")
    assert seen[len(texts) + 3] == ("award, Prize3, Film3", "Film3")
    plan = plan_infusion(inputs, 400)
    rows = [plan.texts_in(row) for row in range(400)]
    shown = Counter(number for row in rows if row is not None for number in row.tolist())
    assert shown == dict.fromkeys(range(2 * len(texts)), 3)  # 6 exposures of each fact, half of them subject last


def test_no_direction_is_lost():
    from kis_plugin.knowledge.facts import Knowledge

    facts = [Fact("Ann", "parent", "Ben", "1"), Fact("Ben", "parent", "Ann", "2")]
    book = load_templates(None, Knowledge(facts=facts))
    triples = Triples(subject_last=True)
    texts = {triples.render(fact, number, book).text for fact in facts for number in (0, 1)}
    assert texts == {"Ann, parent, Ben", "parent, Ben, Ann", "Ben, parent, Ann", "parent, Ann, Ben"}
    rendered = triples.render(facts[0], 1, book)
    assert rendered.text[slice(*rendered.object)] == "Ben"
    assert rendered.text[slice(*rendered.target)] == "Ann"
