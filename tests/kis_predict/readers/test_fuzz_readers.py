"""Real logs, damaged: no reader ends in a traceback, hangs, or makes a number from nothing."""

import json
import shutil
import struct
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_plugin.registry import registered
from kis_predict.readers.bounds import impossible
from kis_predict.readers.gather import gather

REAL = Path(__file__).parent / "real"
BESIDE = {"params": 89248, "tokens": 12288, "frequency": 8, "status": "completed"}
fuzz = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=150
)


def event_file(folder):
    writer_module = pytest.importorskip("tensorboardX")
    writer = writer_module.SummaryWriter(str(folder))
    for step in range(5):
        writer.add_scalar("retention/held_out", step / 5, step)
        writer.add_scalar("eval/loss", 4 - step / 5, step)
    writer.close()
    return next(folder.glob("*.tfevents.*")).read_bytes()


LOGS = {
    "a/kis.jsonl": lambda folder: (REAL / "kis.jsonl").read_bytes(),
    "a/checkpoint-24/trainer_state.json": lambda folder: (REAL / "trainer_state.json").read_bytes(),
    "a/logs/csv/version_0/metrics.csv": lambda folder: (REAL / "metrics.csv").read_bytes(),
    "a/events.out.tfevents.1.host": event_file,
    "a/runs.csv": lambda folder: (
        b"params,tokens,frequency,retention,n,seed\n1e7,2e8,4,0.5,100,0\n1e7,2e8,8,0.6,100,0\n"
    ),
    "a/kis.json": lambda folder: json.dumps(BESIDE).encode(),
}

# What happens to files: cut short, a piece lost, a piece doubled, bytes changed, a number or word replaced.
damage = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1)),
    st.tuples(st.just("lose"), st.floats(0, 1), st.integers(1, 80)),
    st.tuples(st.just("double"), st.floats(0, 1), st.integers(1, 300)),
    st.tuples(st.just("write"), st.floats(0, 1), st.binary(min_size=1, max_size=6)),
    st.tuples(
        st.just("write"), st.floats(0, 1),
        st.sampled_from([b"NaN", b"1e999", b"-1", b"null", b"[[[[", b"{}", b'"', b"\0", b"\xff\xfe", b"true", b"\r\n"]),
    ),
)  # fmt: skip


def damaged(content, how):
    kind, place, *rest = how
    at = int(place * len(content))
    if kind == "cut":
        return content[:at]
    if kind == "lose":
        return content[:at] + content[at + rest[0] :]
    if kind == "double":
        return content[:at] + content[at : at + rest[0]] + content[at:]
    return content[:at] + rest[0] + content[at + len(rest[0]) :]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The content of each log, and a folder to put damaged ones into."""
    contents = {}
    for name, make in LOGS.items():
        if "tfevents" in name and not find_spec("tensorboardX"):
            continue
        contents[name] = make(tmp_path_factory.mktemp("made"))
    return contents


def gather_or_refuse(folder, mapping=None):
    try:
        found = gather([folder], registered("log_readers"), mapping)
    except KISError:
        return
    for run in found.runs:
        assert not list(impossible(run))


@pytest.mark.parametrize("name", LOGS)
@fuzz
@given(how=st.lists(damage, min_size=1, max_size=3))
def test_a_damaged_log_is_read_or_refused(tmp_path_factory, whole, name, how):
    if name not in whole:
        pytest.skip("tensorboardX is not installed")
    folder = tmp_path_factory.mktemp("fuzz")
    content = whole[name]
    for each in how:
        content = damaged(content, each)
    for other in {name, "a/kis.json"} | ({"a/checkpoint-24/trainer_state.json"} if name == "a/kis.json" else set()):
        path = folder / other
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if other == name else whole[other])
    gather_or_refuse(folder)
    shutil.rmtree(folder)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
STATE = json.loads((REAL / "trainer_state.json").read_text())
PATHS = [
    ("global_step",), ("max_steps",), ("log_history",), ("log_history", -1), ("log_history", -2, "retention/held_out"),
    ("num_input_tokens_seen",), ("stateful_callbacks",), ("stateful_callbacks", "KnowledgeInfusion"),
    ("stateful_callbacks", "KnowledgeInfusion", "attributes", "restored_state", "plan"),
    ("stateful_callbacks", "KnowledgeInfusion", "attributes", "restored_state", "plan", "exposures"),
    ("stateful_callbacks", "KnowledgeInfusion", "attributes", "restored_state", "plan", "rows"),
]  # fmt: skip


@fuzz
@given(changes=st.lists(st.tuples(st.sampled_from(PATHS), values), min_size=1, max_size=3), sidecar=values)
def test_a_trainer_state_with_other_values_is_read_or_refused(tmp_path_factory, changes, sidecar):
    state = json.loads(json.dumps(STATE))
    for path, value in changes:
        inner = state
        for key in path[:-1]:
            try:
                inner = inner[key]
            except (KeyError, IndexError, TypeError):
                break
        else:
            try:
                inner[path[-1]] = value
            except (TypeError, IndexError):
                continue
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "checkpoint-24").mkdir()
    (folder / "checkpoint-24" / "trainer_state.json").write_text(json.dumps(state))
    (folder / "kis.json").write_text(json.dumps({**BESIDE, "retention": sidecar, "n": sidecar}))
    gather_or_refuse(folder, {"loss": "eval_loss", "params": "kis.params"})
    shutil.rmtree(folder)


@pytest.mark.parametrize("missing", ["params", "tokens", "frequency"])
def test_no_number_is_made_up_for_what_is_missing(tmp_path, missing):
    folder = tmp_path / "checkpoint-24"
    folder.mkdir()
    (folder / "trainer_state.json").write_text(
        json.dumps({**STATE, "stateful_callbacks": {}, "num_input_tokens_seen": 0})
    )
    (tmp_path / "kis.json").write_text(json.dumps({name: value for name, value in BESIDE.items() if name != missing}))
    with pytest.raises(KISError, match=f"no {missing}: give them by --map"):
        gather([tmp_path], registered("log_readers"))


@fuzz
@given(how=st.lists(damage, min_size=1, max_size=2), at=st.integers(0, 10))
def test_wrong_contents_under_right_checksums_are_refused(tmp_path_factory, whole, how, at):
    if "a/events.out.tfevents.1.host" not in whole:
        pytest.skip("tensorboardX is not installed")
    from kis_predict.readers.tensorboard import _masked_crc

    content, records, place = whole["a/events.out.tfevents.1.host"], [], 0
    while place < len(content):
        length = struct.unpack("<Q", content[place : place + 8])[0]
        records.append(content[place + 12 : place + 12 + length])
        place += 16 + length
    for each in how:
        records[at % len(records)] = damaged(records[at % len(records)], each)
    folder = tmp_path_factory.mktemp("fuzz")
    with (folder / "events.out.tfevents.1.host").open("wb") as file:
        for data in records:
            head = struct.pack("<Q", len(data))
            checks = (struct.pack("<I", _masked_crc(part)) for part in (head, data))
            file.write(head + next(checks) + data + next(checks))
    (folder / "kis.json").write_bytes(whole["a/kis.json"])
    gather_or_refuse(folder)
    shutil.rmtree(folder)
