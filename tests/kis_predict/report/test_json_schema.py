"""What ``--json`` prints has a published schema, and follows it whatever the answer is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kis_predict
from kis_predict.cli import main
from kis_predict.report.json_schema import json_schema

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "docs" / "reference" / "prediction.schema.json"


@pytest.fixture(scope="module")
def validator():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(json_schema())
    return jsonschema.Draft202012Validator(json_schema())


def test_the_published_schema_is_the_one_of_the_code():
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == json_schema(), (
        "kis-predict --json-schema > docs/reference/prediction.schema.json"
    )


def test_the_command_prints_the_schema(capsys):
    assert main(["--json-schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()


def objects(schema: dict) -> list[dict]:
    inside = [*schema.get("properties", {}).values(), *schema.get("anyOf", []), *schema.get("prefixItems", [])]
    inside += [schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), dict)]
    return [schema] * ("properties" in schema) + [found for part in inside for found in objects(part)]


def test_every_object_lists_its_keys_and_allows_no_others():
    for found in objects(json_schema()):
        assert found["required"] == list(found["properties"])
        assert found["additionalProperties"] is False


@pytest.mark.parametrize(
    ("sweep", "options"),
    [
        ({}, {}),
        ({}, {"facts": 1000, "next_runs": 2, "axis": "share"}),
        ({"sizes": (1e7,)}, {"next_runs": 2}),
        ({"last": {0: -1.0}}, {}),
        ({"probes": None, "chance": None}, {"tokens": "140B"}),
    ],
    ids=["ok", "share", "insufficient", "censored", "unknown noise"],
)
def test_answers_follow_the_schema(validator, sweep_runs, sweep, options):
    runs = kis_predict.Runs(tuple(sweep_runs(**sweep)), ("Left out 1 log",))
    answer = kis_predict.predict(runs, target="7B", bootstraps=50, **options).to_dict()
    validator.validate(json.loads(json.dumps(answer, allow_nan=False)))


def test_everything_that_the_report_shows_is_in_it(sweep_runs):
    answer = kis_predict.predict(sweep_runs(), target="7B", bootstraps=50, confidence=0.8, seed=3).to_dict()
    assert answer["confidence"] == 0.8
    assert answer["request"]["seed"] == 3
    assert answer["request"]["risk"] == 0.05
    assert answer["version"]
    assert answer["law"]["intervals"]["b"]
    assert sum(answer["law"]["others"].values()) == pytest.approx(1)
    assert answer["recommendation"]["binding"]
    group = answer["groups"][0]
    assert group["lowest"] < group["peak_low"] <= group["peak"] <= group["peak_high"] < group["highest"]
    assert group["chance"] < group["peak_retention"] <= 1
