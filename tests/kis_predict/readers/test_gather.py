"""Where logs are looked for: folders, links, URLs; what one reader of several sees."""

import sys
from dataclasses import dataclass, field, replace

import pytest

from kis_plugin.errors import KISError
from kis_plugin.registry import registered
from kis_predict.observed import ObservedRun
from kis_predict.readers.gather import gather
from kis_predict.readers.remote import fetch, is_url

END = {"type": "end", "status": "completed", "step": 10, "tokens": 100}
MEASURED = {"type": "retention", "step": 10, "tokens": 1, "probe": "held_out", "accuracy": 0.5, "n": 500}


def test_a_log_torn_in_its_first_line_does_not_refuse_the_sweep(write_log, tmp_path):
    write_log("a", MEASURED, END)
    write_log("b").write_text('{"type":"run","run_id":"b","par')
    write_log("c").write_text("")
    found = gather([tmp_path], registered("log_readers"))
    assert len(found.runs) == 1
    assert found.notes == (
        f"Left out 2 logs (killed in the first line): {tmp_path}/b/kis.jsonl, {tmp_path}/c/kis.jsonl",
    )


def test_long_lists_of_paths_are_folded(write_log, tmp_path):
    write_log("a", MEASURED, END)
    for number in range(40):
        write_log(f"torn{number:02}").write_text("{")
    (note,) = gather([tmp_path], registered("log_readers")).notes
    assert note.endswith("torn02/kis.jsonl and 37 more")


def test_nothing_but_torn_logs_is_no_sweep_and_says_why(write_log, tmp_path):
    write_log("a").write_text("{")
    with pytest.raises(KISError, match=r"no runs.*killed in the first line"):
        gather([tmp_path], registered("log_readers"))


def test_a_run_killed_in_a_line_and_resumed_is_one_run(write_log, tmp_path):
    path = write_log("a", MEASURED, END)
    run, measured, end = path.read_text().splitlines()
    path.write_text(f'{run}\n{{"type":"retention","st\n{run}\n{measured}\n{end}\n')
    (found,) = gather([tmp_path], registered("log_readers")).runs
    assert (found.retention, found.status) == (0.5, "completed")
    assert ":2: line is torn" in found.warnings[0]


@dataclass(frozen=True)
class Folders:
    """A third party's: merges what lies in one folder, and takes --map."""

    mapping: dict = field(default_factory=dict)
    name = "theirs"
    names = ("*.theirs",)

    def with_mapping(self, mapping):
        return replace(self, mapping=mapping)

    def claims(self, path):
        return path.suffix == ".theirs"

    def together(self, path):
        return path.parent

    def read(self, path):
        return self.read_together([path])

    def read_together(self, paths):
        key = self.mapping.get("params", "none")
        return [ObservedRun(source=f"{key} {len(paths)}", params=1, tokens=1, frequency=1.0, retention=0.5)]


def test_a_third_partys_reader_may_merge_files_and_take_the_map(tmp_path):
    for name in ("a/1", "a/2", "b/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.theirs").touch()
    found = gather([tmp_path], {"theirs": Folders()}, {"params": "n"})
    assert [run.source for run in found.runs] == ["n 2", "n 1"]


# --- URLs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket():
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()


def upload(bucket, folder, to):
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.pipe_file(f"{to}/{path.relative_to(folder)}", path.read_bytes())


def test_a_url_is_read_like_a_folder_and_named_by_itself(bucket, write_log, tmp_path):
    write_log("deep/a", MEASURED, END)
    write_log("b").write_text("{")
    (tmp_path / "deep" / "model.safetensors").write_bytes(b"\0" * 1000)
    upload(bucket, tmp_path, "/sweep")
    said = []
    found = gather(["memory://sweep"], registered("log_readers"), notify=said.append)
    assert [run.source for run in found.runs] == ["memory://sweep/deep/a/kis.jsonl"]
    assert found.notes[0].endswith("memory://sweep/b/kis.jsonl")
    assert said == ["Fetching 2 of 3 files (0.0 MB) from memory://sweep."]


def test_what_is_wrong_behind_a_url_is_named_by_the_url(bucket):
    bucket.pipe_file("/sweep/runs.csv", b"params,tokens,frequency,retention\n1,2,3,4\n")
    with pytest.raises(KISError, match=r"^memory://sweep/runs.csv:2 retention: found 4.0") as caught:
        gather(["memory://sweep"], registered("log_readers"))
    assert len(caught.value.problems) == 1


def test_a_url_of_one_file_is_read(bucket, write_csv, sweep_runs):
    bucket.pipe_file("/one.csv", write_csv(sweep_runs(sizes=(1e7,))).read_bytes())
    assert len(gather(["memory://one.csv"], registered("log_readers")).runs) == 11


def test_keys_that_climb_out_stay_inside(bucket, tmp_path):
    bucket.pipe_file("/sweep/a/kis.jsonl", b"{}")
    bucket.store["/sweep/../../kis.jsonl"] = bucket.store["/sweep/a/kis.jsonl"]
    (tmp_path / "in").mkdir()
    fetch("memory://sweep", ["kis.jsonl"], tmp_path / "in", lambda line: None)
    assert not list(tmp_path.glob("*.jsonl"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory://gone", "nothing of that name"),
        ("nonsense://x", "Protocol not known: nonsense"),
        ("http://127.0.0.1:9/runs/", "--logs http://127.0.0.1:9/runs/: found"),
    ],
)
def test_a_url_that_cannot_be_read_is_one_problem(bucket, url, said):
    with pytest.raises(KISError) as caught:
        gather([url], registered("log_readers"))
    assert said in str(caught.value)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(("missing", "extra"), [("fsspec", "kis-plugin[remote]"), ("s3fs", "kis-plugin[s3]")])
def test_a_missing_extra_is_named(monkeypatch, missing, extra):
    if missing == "s3fs":
        pytest.importorskip("fsspec")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(KISError, match=rf"pip install '{extra}'".replace("[", r"\[").replace("]", r"\]")):
        gather(["s3://bucket/runs"], registered("log_readers"))


def test_urls_are_infused_from_paths():
    assert [is_url(place) for place in ("s3://b/r", "runs/", "C:/runs", "/a:b")] == [True, False, False, False]
