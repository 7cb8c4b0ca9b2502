"""The run log: what is written is read back, and what is no log is refused line by line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_plugin.run.log import (
    LOG_NAME,
    DamagedLogError,
    End,
    Loss,
    Retention,
    Run,
    RunLogWriter,
    has_begun,
    read_course,
    read_run_log,
)

pytestmark = pytest.mark.usefixtures("here")
anything = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

RUN = Run(run_id="r", params=1000, tokens=2000, frequency=64.0, facts=10, versions={"torch": "2"}, extra={"site": "a"})
HELD_OUT = Retention(step=0, tokens=0, probe="held_out", accuracy=0.25, n=4, correct=1, extra={"low": 0.1})
LOSS = Loss(step=0, tokens=0, split="eval", loss=4.9)
END = End(status="completed", step=5, tokens=2000, achieved_frequency={"min": 64, "max": 64, "mean": 64.0})

# Line by line what the format says; others write it without this package.
SAMPLE = """\
{"type":"run","schema":1,"run_id":"x","framework":"hf","params":1066112,"params_non_embedding":786432,"tokens":2000000,\
"frequency":64.0,"facts":1000,"tokens_per_fact":19.7,"infused_tokens":1260800,"share":0.6304,"options":4,"seed":0,\
"schedule_hash":"h","versions":{"python":"3.12"}}
{"type":"retention","step":500,"tokens":1000000,"probe":"held_out","accuracy":0.371,"correct":371,"n":1000,\
"margin":0.42,"seconds":1.9}
{"type":"loss","step":500,"tokens":1000000,"split":"eval","loss":4.91}
{"type":"end","status":"completed","step":1000,"tokens":2000000,"achieved_frequency":{"min":64,"max":64,"mean":64.0}}
"""


def log(text: str | bytes) -> Path:
    path = Path(LOG_NAME)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(KISError) as caught:
        read_run_log(log(text))
    return [str(problem) for problem in caught.value.problems]


def write(*records) -> Path:
    writer = RunLogWriter(Path("runs/r"))
    for record in records:
        writer.write(record)
    writer.close()
    return writer.path


def test_the_documented_sample_is_read():
    found = read_run_log(log(SAMPLE))
    assert (found.run.params, found.run.share, found.run.versions) == (1066112, 0.6304, {"python": "3.12"})
    assert (found.retention[0].correct, found.retention[0].margin) == (371, 0.42)
    assert found.loss[0].loss == 4.91
    assert found.end is not None
    assert found.end.achieved_frequency == {"min": 64, "max": 64, "mean": 64.0}
    assert found.warnings == ()


def test_what_is_written_is_read_back():
    found = read_run_log(write(RUN, HELD_OUT, LOSS, END))
    assert (found.run, found.retention, found.loss, found.end) == (RUN, (HELD_OUT,), (LOSS,), END)


def test_each_line_is_there_as_soon_as_it_is_written():
    writer = RunLogWriter(Path("runs/r"))
    writer.write(RUN)
    assert read_run_log(writer.path).run == RUN
    writer.write(LOSS)
    assert read_run_log(writer.path).loss == (LOSS,)
    writer.close()
    writer.close()


def test_a_resumed_run_appends():
    write(RUN, LOSS)
    found = read_run_log(write(replace(RUN, versions={"torch": "3"}), LOSS, END))
    assert (found.run, len(found.loss), found.end) == (RUN, 2, END)


def test_logs_of_two_runs_in_one_file_are_not_taken_for_one():
    with pytest.raises(KISError) as caught:
        read_run_log(write(RUN, LOSS, replace(RUN, frequency=8.0, seed=1), END))
    assert [str(problem).split(" ", 1)[1] for problem in caught.value.problems] == [
        "frequency: found 8.0 in a second run record, expected 64.0 as before",
        "seed: found 1 in a second run record, expected None as before",
    ]


def test_a_log_of_a_later_format_is_refused():
    assert problems(SAMPLE.replace('"schema":1', '"schema":3')) == [
        f"{LOG_NAME} schema: found 3, expected 2 or less. It was written by a newer KIS: update this one."
    ]


def test_a_log_that_cannot_be_written_is_refused():
    Path("runs").write_text("a file")
    with pytest.raises(KISError, match=r"^runs.*, expected a run log that can be written"):
        RunLogWriter(Path("runs/r"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_full_disk_is_named_with_the_log_and_what_was_written_stays():
    writer = RunLogWriter(Path("runs/r"))
    writer.write(RUN)
    with (
        Path("/dev/full").open("ab", buffering=0) as writer._file,
        pytest.raises(KISError, match=r"^runs.r.kis\.jsonl: found no space left on device, .*Free some space"),
    ):
        writer.write(LOSS)
    writer.close()
    assert read_run_log(writer.path).run == RUN


@pytest.mark.parametrize("kept", [1, 20, -2])
def test_a_torn_last_line_is_left_out_with_a_warning(kept):
    path = write(RUN, LOSS)
    whole, torn, _ = path.read_text().split("\n")
    path.write_text(f"{whole}\n{torn[:kept]}")
    found = read_run_log(path)
    assert (found.run, found.loss) == (RUN, ())
    assert "last line is torn" in found.warnings[0]
    RunLogWriter(path.parent).close()
    assert path.read_text().endswith("\n")


def test_records_of_later_versions_are_kept():
    found = read_run_log(log(SAMPLE + '{"type":"weather","rain":1}\n'))
    assert len(found.retention) == 1
    line = {"type": "run", "run_id": "x", "params": 1, "tokens": 1, "frequency": 0, "colour": [1, {"a": None}]}
    assert read_run_log(log(json.dumps(line))).run.extra == {"colour": [1, {"a": None}]}


def test_what_is_not_known_is_not_written():
    text = write(Run(run_id="r", params=1, tokens=1, frequency=1)).read_text()
    assert "null" not in text
    assert json.loads(text)["type"] == "run"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_have_is_never_written(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        write(Loss(step=0, tokens=0, split="eval", loss=value))


def test_every_problem_is_said_at_once_with_its_line():
    assert problems(
        '{"type":"run","run_id":"x","tokens":"many","frequency":NaN,"params":1.5}\n'
        "{oops\n"
        "[1]\n"
        '{"step":1}\n'
        '{"type":"retention","step":0,"tokens":0,"probe":7,"accuracy":true,"n":10}\n'
        '{"type":"retention","step":0,"tokens":0,"probe":"seen","n":null}\n'
        '{"type":"end","status":"completed","step":0,"tokens":0,"achieved_frequency":3}\n'
    ) == [
        f"{LOG_NAME}:1 params: found 1.5, expected a whole number",
        f"{LOG_NAME}:1 tokens: found 'many', expected a whole number",
        f"{LOG_NAME}:1 frequency: found nan, expected a finite number",
        f"{LOG_NAME}:2: found a line that is not JSON (Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)), expected one JSON object",
        f"""{LOG_NAME}:3: found '[1]', expected a JSON object with a "type\"""",
        f"""{LOG_NAME}:4: found '{{"step":1}}', expected a JSON object with a "type\"""",
        f"{LOG_NAME}:5 probe: found 7, expected text",
        f"{LOG_NAME}:5 accuracy: found True, expected a finite number",
        f"{LOG_NAME}:6 accuracy: found nothing, expected a value: retention records carry 'accuracy'",
        f"{LOG_NAME}:6 n: found nothing, expected a value: retention records carry 'n'",
        f"{LOG_NAME}:7 achieved_frequency: found 3, expected an object",
    ]


def test_a_file_of_another_kind_is_named_in_a_few_lines():
    found = problems("no log\n" * 4999 + '{"type": "other"}\n')
    assert len(found) == 21
    assert found[-1] == f"{LOG_NAME}: found 4,979 more problems, expected a run log, one JSON object a line"


@pytest.mark.parametrize("text", ["", "\n", SAMPLE.split("\n", 1)[1]])
def test_a_log_without_its_run_is_refused(text):
    (found,) = problems(text)
    assert found.startswith(f"{LOG_NAME}: found no record of type 'run', expected one as the first line. Take ")


def test_a_missing_log():
    with pytest.raises(KISError, match=r"absent\.jsonl: found No such file or directory, expected a readable run log"):
        read_run_log(Path("absent.jsonl"))


numbers = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(0, allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**63 - 1)
values = st.none() | st.booleans() | st.integers() | numbers | st.text(max_size=4)
record_like = st.dictionaries(
    st.sampled_from(["type", "run_id", "params", "tokens", "frequency", "step", "split", "loss", "status", "versions"]),
    values | st.sampled_from(["run", "retention", "loss", "end"]) | st.dictionaries(st.text(max_size=3), values),
)


@anything
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), counts, counts, positive, st.none() | numbers)
def test_any_values_are_read_back_exactly(here, name, params, tokens, frequency, share):
    run = Run(run_id=name, params=params, tokens=tokens, frequency=frequency, share=share, extra={"note": name})
    Path("runs/r", LOG_NAME).unlink(missing_ok=True)
    assert read_run_log(write(run)).run == run


@anything
@given(st.binary(max_size=80) | st.lists(record_like, max_size=4).map(lambda found: "\n".join(map(json.dumps, found))))
def test_any_bytes_give_a_log_or_a_kis_error(here, text):
    path = log(text)
    try:
        outcome = read_run_log(path)
    except KISError as error:
        outcome = error
    assert LOG_NAME in str(outcome) if isinstance(outcome, KISError) else isinstance(outcome.run, Run)


def test_fields_of_schema_1_get_the_names_of_schema_2():
    run = '{"type":"run","schema":%d,"run_id":"x","params":1,"tokens":1,"frequency":1,"%s":{"held_out":0.3}}\n'
    probe = '{"type":"retention","step":0,"tokens":0,"probe":"held_out","accuracy":0.5,"n":4,"%s":0.3}\n'
    end = '{"type":"end","status":"completed","step":1,"tokens":1,"%s":[{"step":1}],"%s":{"min":1}}\n'
    old = read_run_log(log(run % (1, "null") + probe % "floor" + end % ("eased", "eased_frequency")))
    names = ("frequency_baseline", "throttled", "throttled_frequency")
    new = read_run_log(log(run % (2, names[0]) + probe % names[0] + end % names[1:]))
    assert (old.run.extra, old.retention, old.end) == (new.run.extra, new.retention, new.end)
    assert new.run.extra == {"frequency_baseline": {"held_out": 0.3}}


def test_a_log_of_both_schemas_reads_each_line_by_its_own():
    run = '{"type":"run","schema":%d,"run_id":"x","params":1,"tokens":1,"frequency":1}\n'
    probe = '{"type":"retention","step":0,"tokens":0,"probe":"held_out","accuracy":0.5,"n":4,"floor":0.3}\n'
    first, second = read_run_log(log(run % 1 + probe + run % 2 + probe)).retention
    assert (first.extra, second.extra) == ({"frequency_baseline": 0.3}, {"floor": 0.3})


@pytest.mark.parametrize(
    ("content", "begun"),
    [(None, False), (b"", False), (b'{"type": "ru', False), (b"\0" * 40, False), (b'{"type": "run"}\n{"ty', True)],
)
def test_a_log_has_begun_with_its_first_whole_line(tmp_path, content, begun):
    if content is not None:
        (tmp_path / LOG_NAME).write_bytes(content)
    assert has_begun(tmp_path) is begun


def course_log(path, steps, name="held_out", accuracy=lambda step: 0.5):
    lines = [json.dumps({"type": "run", "run_id": "r", "params": 1, "tokens": 9, "frequency": 4, "schema": 2})]
    for step in steps:
        for probe in (name, f"{name}/relation/P19"):
            values = {"step": step, "tokens": step, "probe": probe, "accuracy": accuracy(step), "n": 8}
            lines.append(json.dumps({"type": "retention", **values}))
        lines.append(json.dumps({"type": "loss", "step": step, "tokens": step, "split": "eval", "loss": 1.0 + step}))
        lines.append(json.dumps({"type": "guard", "step": step, "tokens": step, "verdict": "steady"}))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("skimmed", [2**24, -1])
def test_a_course_is_the_log_without_parts_and_repeated_steps(tmp_path, monkeypatch, skimmed):
    """Skimmed lines give what parsed ones give; of a step that a resumed run trained again the later record stays."""
    monkeypatch.setattr("kis_plugin.run.log_files.reader.SKIMMED", skimmed)
    path = course_log(tmp_path / LOG_NAME, [0, 5, 10, 5, 10, 15])
    whole, course = read_run_log(path), read_course(path)
    assert len(whole.retention) == 12
    assert course.retention == tuple(record for at, record in enumerate(whole.retention) if at in (0, 6, 8, 10))
    assert course.loss == tuple(record for at, record in enumerate(whole.loss) if at in (0, 3, 4, 5))
    assert [record.step for record in course.guard] == [0, 5, 10, 15]
    assert (course.run, course.end, course.warnings) == (whole.run, None, ())


@pytest.mark.parametrize("skimmed", [2**24, -1])
@pytest.mark.parametrize("steps", [range(0, 4000, 2), [*range(1000), *range(10**9, 10**9 + 1000)]])
def test_a_course_of_too_many_steps_keeps_the_first_the_last_and_the_best(tmp_path, monkeypatch, steps, skimmed):
    monkeypatch.setattr("kis_plugin.run.log_files.course._MOST_RECORDS", 300)
    monkeypatch.setattr("kis_plugin.run.log_files.reader.SKIMMED", skimmed)
    best = steps[777]
    path = course_log(tmp_path / LOG_NAME, steps, accuracy=lambda step: 0.9 if step == best else 0.5)
    course = read_course(path)
    found = [record.step for record in course.retention]
    assert len(course.retention) + len(course.loss) + len(course.guard) <= 300
    assert {steps[0], steps[-1], best} <= set(found)
    assert len(found) > 30
    assert course.warnings == (f"{path}: {len(found):,} of 2,000 steps with records are shown",)


def test_a_course_names_what_is_damaged_far_from_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr("kis_plugin.run.log_files.reader.SKIMMED", -1)
    path = course_log(tmp_path / LOG_NAME, [0, 5])
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:5], '{"type": "loss"}', *lines[5:]]))
    with pytest.raises(DamagedLogError, match=r"kis\.jsonl:6 step: found nothing"):
        read_course(path)


def test_a_line_longer_than_any_record_is_damage(tmp_path, monkeypatch):
    monkeypatch.setattr("kis_plugin.storage.text_lines.LONGEST_LINE", 2**20)
    path = course_log(tmp_path / LOG_NAME, [0])
    path.write_bytes(path.read_bytes() + bytes(2**22) + b"\n")
    for read in (read_run_log, read_course):
        with pytest.raises(DamagedLogError, match=r"kis\.jsonl:6: found a line of more than 1,048,576 bytes"):
            read(path)
