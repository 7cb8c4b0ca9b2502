"""kis schema: what editors complete and check kis.yaml by."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from kis_plugin.cli.main import main

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"


@pytest.fixture(scope="module")
def schema():
    outcome = CliRunner().invoke(main, ["schema"])
    assert outcome.exit_code == 0, outcome.output
    return json.loads(outcome.stdout)


def problems(schema, text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(schema)
    return [error.json_path for error in validator.iter_errors(yaml.safe_load(text))]


def test_the_schema_is_one(schema):
    jsonschema.Draft202012Validator.check_schema(schema)


def test_every_documented_kis_yaml_validates(schema):
    blocks = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL) if "knowledge:" in text]
    assert blocks
    for text in blocks:
        assert problems(schema, text) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("seed: 1", "$"),
        ("knowledge: f.jsonl\nsed: 1", "$"),
        ("knowledge: f.jsonl\ninfusion: {share: 2}", "$.infusion.share"),
        ("knowledge: f.jsonl\ninfusion: {placement: intext}", "$.infusion.placement"),
        ("knowledge: f.jsonl\ninfusion: {template_order: rotate}", "$.infusion.template_order"),
        ("knowledge: f.jsonl\ninfusion: {schedule: unifrom}", "$.infusion.schedule"),
        ("knowledge: f.jsonl\nretention: {every: often}", "$.retention.every"),
        ("knowledge: f.jsonl\nretention: {probes: {kinds: helt_out}}", "$.retention.probes.kinds"),
        ("knowledge: f.jsonl\nretention: {guard: {drop: 0.1}}", "$.retention.guard"),
    ],
)
def test_a_wrong_kis_yaml_is_marked_at_its_key(schema, text, place):
    assert problems(schema, text) == [place]


def test_every_key_is_described(schema):
    sections = [schema, *schema["$defs"].values()]
    keys = {name: value for section in sections for name, value in section["properties"].items()}
    assert [name for name, value in keys.items() if "description" not in value and "$ref" not in value] == []
    assert "title" not in json.dumps(schema["$defs"])


def test_defaults_and_registered_names_are_offered(schema):
    infusion = schema["$defs"]["InfusionConfig"]["properties"]
    assert infusion["template_order"]["default"] == "cycle"
    assert "burst" in infusion["schedule"]["anyOf"][0]["enum"]
    assert "held_out" in schema["$defs"]["ProbesConfig"]["properties"]["kinds"]["anyOf"][0]["enum"]
