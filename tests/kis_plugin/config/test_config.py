"""kis.yaml: what it may say, and that everything wrong with it is said at once, with its line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kis_plugin.config.choice import Choice
from kis_plugin.config.load import config_from, load_config
from kis_plugin.config.options import chosen
from kis_plugin.config.schema import Config, InfusionConfig, ProbesConfig, RetentionConfig
from kis_plugin.errors import KISError
from tests.world.facts import write_facts
from tests.world.processes import environment

SAMPLE = """\
# kis.yaml: every key has a default but `knowledge`; unknown keys are errors that name the nearest key
knowledge: facts.jsonl          # triples (jsonl/csv/tsv), a BEAR-style folder, Wikidata query results, or documents
templates: null                 # default: built in for common Wikidata properties, generic otherwise
infusion:
  frequency: 64                 # or share: 0.05, or tokens: 1.2B (exactly one of the three)
  placement: rows               # rows | inline
  window: [0.0, 1.0]            # part of the run that is infused
retention:
  every: 0.1                    # fraction of the run, or a number of steps; start and end always
  probes: {facts: 1000, options: 4, kinds: held_out}
  control: 200
run_log: runs/
seed: 0
"""


@pytest.fixture(autouse=True)
def facts_here(here):
    Path("facts.jsonl").touch()


def load(text: str | bytes) -> Config:
    Path("kis.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(Path("kis.yaml"))


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(KISError) as caught:
        load(text)
    return [str(problem) for problem in caught.value.problems]


def test_the_documented_sample_states_the_defaults():
    assert load(SAMPLE) == load("knowledge: facts.jsonl")
    assert load(SAMPLE) == Config(
        knowledge=Path("facts.jsonl"),
        infusion=InfusionConfig(frequency=64.0),
        retention=RetentionConfig(every=0.1, probes=ProbesConfig(1000, 4, 1, ("held_out",)), control=200),
        path=Path("kis.yaml"),
    )


def test_paths_are_taken_from_the_folder_of_the_file(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.yaml").touch()
    path = tmp_path / "conf" / "kis.yaml"
    path.write_text("knowledge: ../facts.jsonl\ntemplates: mine.yaml\nrun_log: out")
    monkeypatch.chdir("/")
    config = load_config(path)
    assert config.knowledge.samefile(tmp_path / "facts.jsonl")
    assert config.templates == str(tmp_path / "conf" / "mine.yaml")
    assert config.run_log == tmp_path / "conf" / "out"


def test_relative_paths_start_at_the_configuration(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    path = tmp_path / "conf" / "kis.yaml"
    selection = "{name: difference, scores: scores.jsonl, keep: 0.25}"
    path.write_text(f"knowledge: ../facts.jsonl\ncache: ../prepared\ninfusion: {{selection: {selection}}}")
    monkeypatch.chdir("/")
    config = load_config(path)
    assert config.cache == tmp_path / "conf" / "../prepared"
    assert config.infusion.selection.options == {"scores": str(tmp_path / "conf" / "scores.jsonl"), "keep": 0.25}
    assert chosen("selections", config.infusion.selection, "x").scores == tmp_path / "conf" / "scores.jsonl"


def test_an_absolute_path_stays(tmp_path):
    assert load(f"knowledge: {tmp_path}/facts.jsonl").knowledge == tmp_path / "facts.jsonl"


def test_every_problem_is_said_at_once_with_its_line():
    assert problems(
        "knowledge: fact.jsonl\n"
        "infusion:\n"
        "  frequncy: 3\n"
        "  window: [1, 0]\n"
        "retention:\n"
        "  probes:\n"
        "    options: 1\n"
        "sead: 1\n"
    ) == [
        "kis.yaml:3 infusion.frequncy: found an unknown key, expected a key of infusion. Did you mean 'frequency'?",
        "kis.yaml:4 infusion.window: found [1, 0], expected two fractions [a, b] with 0 <= a < b <= 1",
        "kis.yaml:7 retention.probes.options: found 1, expected a whole number of at least 2",
        "kis.yaml:8 sead: found an unknown key, expected a key of kis.yaml. Did you mean 'seed'?",
        "kis.yaml:1 knowledge: found 'fact.jsonl': no such file or folder, expected a file or folder of facts. "
        "Relative paths are taken from the folder of the configuration.",
    ]


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("infusion.frequency", "-1", "-1"),
        ("infusion.frequency", ".inf", "inf"),
        ("infusion.frequency", ".nan", "nan"),
        ("infusion.frequency", "true", "true"),
        ("infusion.frequency", "'64'", "'64'"),
        ("infusion.frequency", "1e400", "inf"),
        ("infusion.frequency", "", "nothing"),
        ("infusion.share", "1.01", "1.01"),
        ("infusion.share", "-0.1", "-0.1"),
        ("infusion.tokens", "1.23456k", "'1.23456k'"),
        ("infusion.tokens", "-5", "-5"),
        ("infusion.tokens", "0.5", "0.5"),
        ("infusion.tokens", "many", "'many'"),
        ("infusion.tokens", "12Q", "'12Q'"),
        ("infusion.placement", "intext", "'intext'"),
        ("infusion.placement", "[rows]", "['rows']"),
        ("infusion.window", "[0, 2]", "[0, 2]"),
        ("infusion.window", "[0.5, 0.5]", "[0.5, 0.5]"),
        ("infusion.window", "[0]", "[0]"),
        ("infusion.window", "0.5", "0.5"),
        ("infusion.schedule", "unifrom", "'unifrom'"),
        ("infusion.schedule", "3", "3"),
        ("infusion.schedule", "{bursts: 3}", "{'bursts': 3}"),
        ("infusion.schedule", "{name: [ramp]}", "{'name': ['ramp']}"),
        ("infusion.rendering", "sentence", "'sentence'"),
        ("infusion.selection", "none", "'none'"),
        ("infusion.template_order", "all", "'all'"),
        ("infusion.max_templates", "0", "0"),
        ("infusion.max_templates", "all", "'all'"),
        ("infusion.loss", "objects", "'objects'"),
        ("infusion.attention", "block", "'block'"),
        ("infusion.chunk_tokens", "1", "1"),
        ("infusion.skip_known", "1", "1"),
        ("infusion.known_frequency", "-1", "-1"),
        ("cache", "~/kis", "'~/kis'"),
        ("cache", "facts.jsonl", "'facts.jsonl': facts.jsonl is a file"),
        ("on_mismatch", "ignore", "'ignore'"),
        ("retention.every", "0", "0"),
        ("retention.every", "1.0", "1.0"),
        ("retention.every", "2.5", "2.5"),
        ("retention.every", "-1", "-1"),
        ("retention.every", "often", "'often'"),
        ("retention.control", "-1", "-1"),
        ("retention.control", "2.0", "2.0"),
        ("retention.probes", "all", "'all'"),
        ("retention.probes.facts", "0", "0"),
        ("retention.probes.options", "1", "1"),
        ("retention.probes.kinds", "[]", "[]"),
        ("retention.probes.kinds", "helt_out", "'helt_out'"),
        ("retention.probes.kinds", "[seen, seen]", "['seen', 'seen']"),
        ("retention.probes.kinds", "[seen, 3]", "['seen', 3]"),
        ("infusion", "", "nothing"),
        ("retention", "[1]", "[1]"),
        ("templates", "buildin", "'buildin'"),
        ("templates", "absent.yaml", "'absent.yaml': no such file or folder"),
        ("templates", "[a]", "['a']"),
        ("run_log", "''", "''"),
        ("run_log", '"a\\0b"', "'a\\x00b'"),
        ("seed", "-1", "-1"),
        ("seed", "1.5", "1.5"),
        ("seed", "no", "'no'"),
        ("seed", "99999999999999999999", "99999999999999999999"),
        ("knowledge", "5", "5"),
        ("knowledge", '"\\ud800"', "'\\ud800'"),
    ],
)
def test_a_wrong_value_is_quoted_at_its_key(key, value, found):
    text = "" if key == "knowledge" else "knowledge: facts.jsonl\n"
    for depth, part in enumerate(key.split(".")):
        text += f"{'  ' * depth}{part}:" + ("\n" if depth < key.count(".") else f" {value}\n")
    line = text.count("\n")
    (problem,) = problems(text)
    assert problem.startswith(f"kis.yaml:{line} {key}: found {found}, expected ")


@pytest.mark.parametrize(
    ("written", "tokens"),
    [("1.2B", 1_200_000_000), ("300M", 300_000_000), ("5k", 5000), ("5 K", 5000), ("2T", 2 * 10**12), ("7", 7),
     ("1e9", 10**9), ("0", 0), ("0.123456789B", 123_456_789)],
)  # fmt: skip
def test_tokens_are_read_exactly(written, tokens):
    config = load(f"knowledge: facts.jsonl\ninfusion: {{tokens: {written}}}")
    assert (config.infusion.tokens, config.infusion.frequency) == (tokens, None)


@given(st.integers(0, 10**12), st.sampled_from([("k", 3), ("M", 6), ("B", 9)]))
def test_tokens_with_a_unit_lose_no_digit(tokens, unit):
    letter, digits = unit
    written = f"{tokens // 10**digits}.{tokens % 10**digits:0{digits}d}{letter}"
    Path("facts.jsonl").touch()
    assert config_from({"knowledge": "facts.jsonl", "infusion": {"tokens": written}}).infusion.tokens == tokens


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("infusion.templates", "rotate", "infusion.template_order: cycle (was rotate)"),
        ("infusion.wordings", "3", "infusion.max_templates"),
        ("infusion.chunk", "64", "infusion.chunk_tokens"),
        ("infusion.template_order", "one", "first"),
        ("retention.probes.templates", "seen", "retention.probes.kinds"),
        ("retention.probes.wordings", "2", "retention.probes.templates_per_fact"),
        ("retention.text", "a.txt", "retention.general_text"),
        ("retention.counts", "a.jsonl", "retention.corpus_counts"),
        ("retention.guard.drop", "0.1", "retention.guard.min_drop"),
        ("retention.guard.false_alarms", "0.1", "retention.guard.alpha"),
        ("retention.guard.keep", "0.1", "retention.guard.throttle_to"),
        ("retention.guard.action", "lower", "throttle"),
    ],
)
def test_an_old_key_or_value_is_refused_with_the_new_name(key, value, hint):
    text = "knowledge: facts.jsonl\n"
    for depth, part in enumerate(key.split(".")):
        text += f"{'  ' * depth}{part}:" + ("\n" if depth < key.count(".") else f" {value}\n")
    (problem,) = problems(text)
    assert problem.startswith(f"kis.yaml:{text.count(chr(10))} {key}: found ")
    assert f"It is now {hint}" in problem


@pytest.mark.parametrize(
    ("written", "every"),
    [("10%", 0.1), ("2.5 %", 0.025), ("0.1", 0.1), ("500 steps", 500), ("1 step", 1), ("500", 500)],
)
def test_evaluations_are_spaced_by_a_part_of_the_run_or_steps(written, every):
    found = load(f"knowledge: facts.jsonl\nretention: {{every: {written}}}").retention.every
    assert (found, type(found)) == (every, type(every))


@pytest.mark.parametrize("written", ["0%", "100%", "0 steps", "5 epochs", "1.5 steps", "-10%"])
def test_a_spacing_without_meaning_is_refused(written):
    (problem,) = problems(f"knowledge: facts.jsonl\nretention: {{every: {written}}}\n")
    assert problem.startswith(f"kis.yaml:2 retention.every: found {written!r}, expected ")


def test_every_key_of_the_infusion_is_read():
    config = load(
        "knowledge: facts.jsonl\n"
        "infusion:\n"
        "  frequency: 12.5\n"
        "  placement: inline\n"
        "  window: [0.25, 1]\n"
        "  schedule: {name: burst, bursts: 3}\n"
        "  rendering: triples\n"
        "  template_order: random\n"
        "  max_templates: 3\n"
        "  loss: object\n"
        "  attention: row\n"
        "  chunk_tokens: 64\n"
        "  selection: all\n"
        "  skip_known: true\n"
        "  known_frequency: 2\n"
        "on_mismatch: warn\n"
    )
    assert config.infusion == InfusionConfig(
        frequency=12.5, placement="inline", window=(0.25, 1.0), schedule=Choice("burst", {"bursts": 3}),
        rendering=Choice("triples"), template_order="random", max_templates=3, loss="object", attention="row",
        chunk_tokens=64, selection=Choice("all"), skip_known=True, known_frequency=2.0,
    )  # fmt: skip
    assert config.on_mismatch == "warn"
    assert hash(config) == hash(load_config(Path("kis.yaml")))  # what is read from it is kept by it


def test_options_of_a_choice_are_errors_at_their_own_lines():
    assert problems(
        "knowledge: facts.jsonl\n"
        "infusion:\n"
        "  schedule:\n"
        "    name: burst\n"
        "    bursts: many\n"
        "    prt: 0.5\n"
        "    part: 3\n"
        "  rendering: {name: sentences, comma: ;}\n"
        "  selection: {name: difference, scores: 3, keep: -1}\n"
    ) == [
        "kis.yaml:5 infusion.schedule.bursts: found 'many', expected a whole number",
        "kis.yaml:6 infusion.schedule.prt: found an unknown option, expected one of bursts, part. Did you mean 'part'?",
        "kis.yaml:7 infusion.schedule.part: found 3, expected a part above 0, at most 1",
        "kis.yaml:8 infusion.rendering.comma: found an option, expected none: sentences takes no options",
        "kis.yaml:9 infusion.selection.scores: found 3, expected a path or nothing",
        "kis.yaml:9 infusion.selection.keep: found -1, expected a part above 0 and up to 1, or a whole number above 1",
    ]
    (refused,) = problems("knowledge: facts.jsonl\ninfusion:\n  schedule:\n    part: 3\n    name: burst\n")
    assert refused == "kis.yaml:4 infusion.schedule.part: found 3, expected a part above 0, at most 1"
    (together,) = problems("knowledge: facts.jsonl\ninfusion:\n  schedule: {name: ramp, start: 0, end: 0}\n")
    assert together.startswith("kis.yaml:3 infusion.schedule.end: found 0, expected a density above 0 at the start")


def test_keys_that_contradict_each_other_are_all_said_at_once():
    assert problems(
        "knowledge: facts.jsonl\n"
        "infusion:\n"
        "  share: 0.1\n"
        "  tokens: 5k\n"
        "  placement: inline\n"
        "  attention: sentence\n"
        "  known_frequency: 3\n"
        "  template_order: first\n"
        "  max_templates: 2\n"
    ) == [
        "kis.yaml:4 infusion.tokens: found share and tokens, expected exactly one of frequency, share, tokens",
        "kis.yaml:6 infusion.attention: found sentence with placement: inline, expected row, or placement: rows. "
        "An inline sentence stands in the base text: it sees what is before it, and what follows sees it.",
        "kis.yaml:9 infusion.max_templates: found 2 with template_order: first, "
        "expected template_order: cycle or random. "
        "first uses one template; cycle and random use as many as max_templates says.",
        "kis.yaml:7 infusion.known_frequency: found 3 without skip_known, expected skip_known: true beside it. "
        "Without skip_known no fact is probed before the first step, so no fact counts as known.",
    ]


def test_known_facts_get_no_more_than_others():
    text = "knowledge: facts.jsonl\ninfusion: {skip_known: true, known_frequency: 65}"
    assert problems(text) == [
        "kis.yaml:2 infusion.known_frequency: found 65, expected at most the frequency, 64. "
        "Facts that the model knows already are given less than others."
    ]
    assert load(text.replace("65", "65, share: 0.5")).infusion.known_frequency == 65
    assert load(text.replace("65", "64")).infusion.known_frequency == 64


def test_what_looks_like_a_contradiction_and_is_none():
    inline = load(
        "knowledge: facts.jsonl\ninfusion: {loss: object, placement: inline, chunk_tokens: 9, rendering: triples}"
    )
    assert (inline.infusion.loss, inline.infusion.placement) == ("object", "inline")


def test_the_amount_is_said_once():
    assert problems("knowledge: facts.jsonl\ninfusion:\n  share: 0.5\n  tokens: 3M\n") == [
        "kis.yaml:4 infusion.tokens: found share and tokens, expected exactly one of frequency, share, tokens"
    ]


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("facts.jsonl", "'facts.jsonl': facts.jsonl is a file, expected a folder"),
        ("facts.jsonl/deeper/runs", "'facts.jsonl/deeper/runs': facts.jsonl is a file"),
        ("~/runs", "'~/runs', expected a folder. Write it out"),
    ],
)
def test_the_run_log_is_a_folder_or_can_become_one(log, said):
    assert problems(f"knowledge: facts.jsonl\nrun_log: {log}")[0].startswith(f"kis.yaml:2 run_log: found {said}")
    assert load("knowledge: facts.jsonl\nrun_log: läu fe/日本").run_log == Path("läu fe/日本")


def test_knowledge_from_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo("pipe.jsonl")
    assert problems("knowledge: pipe.jsonl")[0].startswith("kis.yaml:1 knowledge: found 'pipe.jsonl': a pipe")


@pytest.mark.parametrize(("key", "where"), [("", "kis.yaml"), ("templates: pipe.yaml", "pipe.yaml")])
def test_pipes_in_place_of_yaml_are_not_waited_for(key, where):
    os.mkfifo("pipe.yaml")
    if key:
        Path("facts.jsonl").write_text('{"subject": "Ada", "relation": "P19", "object": "London"}\n')
        Path("kis.yaml").write_text(f"knowledge: facts.jsonl\n{key}\n")
    else:
        os.mkfifo("kis.yaml")
    # A process of its own: reading a pipe that nobody writes to would never end, whatever this one does.
    command = [sys.executable, "-m", "kis_plugin.cli.main", "check", "kis.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(), check=False)
    assert done.returncode == 2
    assert f"{where}" in done.stderr
    assert "pipe" in done.stderr.replace(where, "")


@pytest.mark.parametrize("name", ["/dev/zero", "link.yaml"])
def test_a_device_in_place_of_kis_yaml_is_refused(name):
    Path("link.yaml").symlink_to("/dev/zero")
    with pytest.raises(KISError, match="found a device, expected a regular file"):
        load_config(Path(name))


def test_a_yaml_file_of_more_than_a_megabyte_is_refused(tmp_path):
    Path("kis.yaml").write_text("knowledge: facts.jsonl\n#" + "x" * 1_000_000)
    with pytest.raises(KISError, match=r"kis\.yaml: found 1,000,\d+ bytes, expected .* of at most 1,000,000 bytes"):
        load_config(Path("kis.yaml"))


def test_a_folder_of_knowledge_that_may_not_be_read(monkeypatch):
    Path("closed").mkdir()

    def deny(place):
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr(Path, "iterdir", deny)  # permissions do not bind every user that runs this
    assert problems("knowledge: closed")[0].startswith("kis.yaml:1 knowledge: found 'closed': [Errno 13] Permission")


def test_share_takes_the_place_of_the_default_frequency():
    assert load("knowledge: facts.jsonl\ninfusion: {share: 0.05}").infusion == InfusionConfig(share=0.05)


def test_numbers_are_read_as_json_reads_them():
    config = load("knowledge: facts.jsonl\nseed: 010\ninfusion: {frequency: 1e3}\nretention: {every: 50}")
    assert (config.seed, config.infusion.frequency, config.retention.every) == (10, 1000.0, 50)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "kis.yaml: found an empty file, expected at least the key knowledge. Write knowledge: facts.jsonl"),
        ("# nothing\n", "kis.yaml: found an empty file"),
        ("seed: 1", "kis.yaml:1 knowledge: found no such key"),
        ("- a\n- b", "kis.yaml:1: found ['a', 'b'], expected a mapping of knowledge,"),
        ("knowledge: facts.jsonl\nseed: 1\nseed: 2", "kis.yaml:3 seed: found the key a second time, expected each key"),
        ("knowledge: [", "kis.yaml:1: found "),
        ("knowledge: a: b", "kis.yaml:1: found mapping values are not allowed here"),
        ("a: 1\n---\nb: 2", "kis.yaml:2: found "),
        ("seed: 1\nknowledge: &a facts.jsonl\nrun_log: *a", "kis.yaml:3: found an alias (*)"),
        ("seed: 1\nknowledge: !!python/object/apply:os.system ['x']", "kis.yaml:2: found a tag (tag:yaml.org,2002:py"),
        ("seed: !!str 1", "kis.yaml:1: found a tag"),
        ("? [a, b]\n: 1", "kis.yaml:1: found a list or mapping as a key"),
        ("[" * 20_000, "kis.yaml: found YAML nested too deeply to read"),
        (b"seed: 1\nrun_log: \xff\xfe", "kis.yaml:2: found bytes that are not UTF-8"),
        (b"seed: \x07", "kis.yaml"),
    ],
)
def test_a_file_that_is_no_configuration(text, said):
    assert problems(text)[0].startswith(said)


def test_no_alias_is_followed():
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    assert problems(bomb) == ["kis.yaml:2: found an alias (*), expected YAML of plain values, without tags or aliases"]


def test_a_missing_file():
    with pytest.raises(KISError, match=r"kiss\.yaml: found no such file or directory, expected a configuration of KIS"):
        load_config(Path("kiss.yaml"))


def test_a_folder_is_no_configuration(tmp_path):
    with pytest.raises(KISError, match="found is a directory"):
        load_config(tmp_path)


def test_a_byte_order_mark_and_windows_line_ends_are_fine():
    assert load(b"\xef\xbb\xbfknowledge: facts.jsonl\r\nseed: 7\r\n").seed == 7


def test_a_configuration_made_in_code_is_checked_alike():
    made = {"knowledge": Path("facts.jsonl"), "infusion": {"window": (0, 0.5)}, "seed": np.int64(3)}
    assert config_from(made) == Config(Path("facts.jsonl"), infusion=InfusionConfig(64.0, window=(0.0, 0.5)), seed=3)
    with pytest.raises(KISError) as caught:
        config_from({"knowledge": "facts.jsonl", "infusion": {"share": 2, "tokens": 1}, "sed": 0}, where="kis=")
    assert [problem.where for problem in caught.value.problems] == [
        "kis= infusion.share", "kis= sed", "kis= infusion.tokens",
    ]  # fmt: skip


def attempt(make) -> Config | KISError:
    try:
        return make()
    except KISError as error:
        return error


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = ["knowledge", "templates", "infusion", "retention", "run_log", "seed", "frequency", "share", "tokens", "window",
        "placement", "schedule", "every", "probes", "control", "facts", "options", "cache", "on_mismatch", "rendering",
        "loss", "attention", "chunk_tokens", "selection", "skip_known", "known_frequency", "max_templates",
        "name"]  # fmt: skip
likely = st.dictionaries(
    st.sampled_from(keys), plain | st.dictionaries(st.sampled_from(keys), plain, max_size=4), max_size=5
)
anything = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@anything
@given(likely)
def test_any_values_give_a_configuration_or_a_kis_error(tmp_path, values):
    for make in (lambda: config_from(values), lambda: load(json.dumps(values))):
        outcome = attempt(make)
        assert isinstance(outcome, Config) or outcome.problems


@anything
@given(st.binary(max_size=40) | st.text(max_size=60) | st.text("knowledge: {}[]&*!|>-'\"\n #%@`,?~", max_size=60))
def test_any_bytes_give_a_configuration_or_a_kis_error(tmp_path, raw):
    outcome = attempt(lambda: load(raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")))
    assert isinstance(outcome, Config) or "kis.yaml" in str(outcome)


@pytest.mark.parametrize(
    ("share", "hint"),
    [
        ("5%", r"'5%', expected a number from 0 to 1\. Write it as a fraction: 0\.05\."),
        ("2.5 %", r"Write it as a fraction: 0\.025\."),
        ("'0.05'", r"'0\.05', expected a number from 0 to 1\. Write it without quotes\."),
        ("some", r"'some', expected a number from 0 to 1$"),
    ],
)
def test_a_number_as_text_is_refused_with_how_to_write_it(tmp_path, share, hint):
    write_facts(tmp_path)
    (tmp_path / "kis.yaml").write_text(f"knowledge: facts.jsonl\ninfusion:\n  share: {share}\n")
    with pytest.raises(KISError, match=r"infusion\.share: found " + (hint if hint[0] == "'" else ".*" + hint)):
        load_config(tmp_path / "kis.yaml")


@pytest.mark.parametrize("name", ["facts.jsonl", "facts.CSV", "facts.parquet"])
def test_facts_in_place_of_a_configuration_are_refused_with_the_way_to_one(tmp_path, name):
    (tmp_path / name).write_text("{}\n{}\n")
    with pytest.raises(KISError, match=rf"{name}: found a file of facts .*kis init PROJECT --facts {name}"):
        load_config(tmp_path / name)
