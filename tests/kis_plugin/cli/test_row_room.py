"""kis check --data: the rows of a data set that can take a whole statement, counted by hand too."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from kis_plugin.cli.main import main

pytest.importorskip("transformers")
from tests.world.tokenizers import hugging_face

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
datasets = pytest.importorskip("datasets")

ROWS = [3, 40, 8, 90, 64, 64]
pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def statement(tmp_path, monkeypatch):
    """Tokens of the only statement, its EOS included."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facts.csv").write_text("subject,relation,object\nLatvia,P36,Riga\n")
    (tmp_path / "kis.yaml").write_text("knowledge: facts.csv\ninfusion: {max_templates: 1}\nretention: {control: 0}\n")
    tokenizer = hugging_face("byte-level")
    tokenizer.save_pretrained("tokenizer")
    report = json.loads(CliRunner().invoke(main, ["check", "kis.yaml", "--json"]).stdout)
    assert report["room"] is None
    return len(tokenizer(report["relations"][0]["trained"], add_special_tokens=False)["input_ids"]) + 1


def check(data, *more):
    return CliRunner().invoke(main, ["check", "kis.yaml", "--data", data, "--tokenizer", "tokenizer", *more])


@pytest.mark.parametrize("data", ["rows", "rows.parquet"])
def test_rows_with_room_are_counted(statement, data):
    lengths = [*ROWS, statement, statement - 1]
    rows = {"input_ids": [[5] * length for length in lengths], "text": ["x"] * len(lengths)}
    if data == "rows":
        datasets.Dataset.from_dict(rows).save_to_disk(data)
    else:
        parquet.write_table(pa.table(rows), data)
    done = check(data, "--json")
    assert done.exit_code == 0, done.output
    room = json.loads(done.stdout)["room"]
    expected = sum(length >= statement for length in lengths)
    assert 0 < expected < len(lengths)
    assert room == {
        "data": data, "rows": 8, "shortest": 3, "longest": 90, "longest_text": statement, "with_room": expected,
    }  # fmt: skip
    line = f"{data}: 8 rows of 3 to 90 tokens; {expected} of them ({expected / 8:.1%}) can take the longest text"
    assert line in check(data).stdout


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("input_ids", [[5, 5]], "tokens"),
        ("text", ["some text"], "rows.parquet: found columns text, expected a column input_ids"),
        ("input_ids", [5, 6], "a column input_ids of int64"),
        ("input_ids", pa.array([], pa.list_(pa.int32())), "rows.parquet: found no rows, expected at least one"),
    ],
)
def test_data_that_has_no_room_or_no_rows_is_refused(statement, column, values, message):
    parquet.write_table(pa.table({column: values}), "rows.parquet")
    done = check("rows.parquet")
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.output


def test_a_place_without_data_is_refused(statement, tmp_path):
    (tmp_path / "broken.parquet").write_text("no Parquet")
    for place in ("nowhere", "kis.yaml", "broken.parquet"):
        done = check(place)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "expected a Parquet file or a folder that save_to_disk wrote" in done.stderr


def test_both_options_are_needed(statement):
    done = CliRunner().invoke(main, ["check", "kis.yaml", "--data", "rows"])
    assert done.exit_code == 2
    assert "--data and --tokenizer belong together" in done.stderr
