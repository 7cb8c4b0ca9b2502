"""Logs that are huge, damaged, contradictory or made to mislead: named, bounded, never believed."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
import time
import tracemalloc
from pathlib import Path

import pytest

from kis_plugin.errors import KISError
from kis_plugin.registry import registered
from kis_plugin.storage import text_lines as lines
from kis_predict.api import predict
from kis_predict.cli import main
from kis_predict.readers import CSVReader, RunLogReader, run_log_scan
from kis_predict.readers.column_mapping import load_mapping
from kis_predict.readers.foreign import LeftOut
from kis_predict.readers.gather import gather
from kis_predict.sweep import build_sweep

ROOT = Path(__file__).parents[3]
END = {"type": "end", "status": "completed", "step": 10, "tokens": 10}
HELD_OUT = {"type": "retention", "step": 10, "tokens": 10, "probe": "held_out", "accuracy": 0.5, "n": 100}
RECORDED = ROOT / "studies" / "law" / "logs.tar.xz"


def read(*places: Path, **options: object):
    return gather(places, registered("log_readers"), **options)


class TestLinks:
    @pytest.fixture
    def elsewhere(self, tmp_path, write_log) -> Path:
        write_log("elsewhere/a", HELD_OUT, END)
        write_log("sweep/b", HELD_OUT, END, seed=1)
        (tmp_path / "sweep" / "folder").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "sweep" / "c").mkdir()
        (tmp_path / "sweep" / "c" / "kis.jsonl").symlink_to(tmp_path / "elsewhere" / "a" / "kis.jsonl")
        return tmp_path / "sweep"

    def test_links_that_lead_out_are_left_out_and_named(self, elsewhere):
        found = read(elsewhere)
        assert [run.seed for run in found] == [1]
        assert found.notes[0].startswith(
            "Left out 2 links that lead out of their folder; --follow-links follows them: "
        )

    def test_links_that_lead_out_are_followed_on_request(self, elsewhere):
        assert len(read(elsewhere, follow_links=True)) == 2

    def test_links_inside_are_followed_each_folder_once(self, elsewhere):
        (elsewhere / "again").symlink_to(elsewhere / "b")
        (elsewhere / "round").symlink_to(elsewhere)
        assert len(read(elsewhere)) == 1

    def test_the_place_itself_may_be_a_link(self, elsewhere, tmp_path):
        (tmp_path / "link").symlink_to(elsewhere)
        assert len(read(tmp_path / "link")) == 1

    def test_a_link_to_the_root_is_not_walked(self, elsewhere, capsys):
        (elsewhere / "root").symlink_to("/")
        started = time.monotonic()
        assert main(["--logs", str(elsewhere), "--target", "7B"]) == 1
        assert time.monotonic() - started < 30
        assert "Left out 3 links" in capsys.readouterr().err


class TestURLs:
    @pytest.mark.parametrize(
        "url",
        [
            "reference::refs.json", "reference://x", "zip://kis.jsonl::https://example.org/x.zip", "simplecache::s3://b/x",
            "filecache::memory://x", "tar://a::file:///x.tar",
        ],
    )  # fmt: skip
    def test_chained_and_wrapping_forms_are_refused(self, url, capsys):
        assert main(["--logs", url, "--target", "7B"]) == 2
        assert "found a chained or wrapping URL" in (error := capsys.readouterr().err)
        assert "Traceback" not in error

    def test_more_than_the_limit_is_not_fetched(self, monkeypatch):
        fsspec = pytest.importorskip("fsspec")
        from kis_predict.readers import remote

        fsspec.filesystem("memory").pipe_file("/large/kis.jsonl", b"x" * 3_000_000)
        monkeypatch.setattr(remote, "MOST_BYTES", 1_000_000)
        with pytest.raises(KISError, match="more than 1,000,000 bytes"):
            read("memory://large")
        fsspec.filesystem("memory").store.clear()


class TestSize:
    def long_log(self, path: Path, records: int) -> None:
        run = {"type": "run", "run_id": "a", "params": 10**7, "tokens": 10**9, "frequency": 8.0, "options": 4}
        record = {**HELD_OUT, "correct": 50, "extra": "x" * 200}
        with path.open("w") as file:
            file.write(json.dumps(run) + "\n")
            for step in range(records):
                file.write(
                    json.dumps({**record, "step": step, "probe": "held_out" if step % 9 == 0 else "seen"}) + "\n"
                )
            file.write(json.dumps({"type": "loss", "step": 1, "tokens": 1, "split": "eval", "loss": 2.5}) + "\n")
            file.write(json.dumps(END) + "\n")

    def peak_of(self, call) -> int:
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    def test_memory_does_not_grow_with_a_run_log(self, tmp_path):
        peaks = []
        for records in (10_000, 60_000):
            (folder := tmp_path / str(records)).mkdir()
            self.long_log(folder / "kis.jsonl", records)
            peaks.append(self.peak_of(lambda: RunLogReader().read(folder / "kis.jsonl")))
        assert (tmp_path / "60000" / "kis.jsonl").stat().st_size > 18e6
        assert peaks[1] < 1.2 * peaks[0] < 30e6

    def test_a_table_of_many_rows_takes_little_memory_a_row(self, tmp_path):
        path = tmp_path / "sweep.csv"
        rows = "".join(f"{10**7 + row},200000000,{row % 90 + 1},0.5\n" for row in range(30_000))
        path.write_text("params,tokens,frequency,retention\n" + rows)
        assert self.peak_of(lambda: CSVReader().read(path)) / 30_000 < 800

    def test_a_line_without_an_end_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(lines, "LONGEST_LINE", 2**20)
        (path := tmp_path / "kis.jsonl").write_bytes(b"\n\n" + b" " * (3 * 2**20))
        with pytest.raises(KISError, match=r"kis\.jsonl:3: found a line of more than 1,048,576 bytes"):
            RunLogReader().read(path)

    def test_a_long_line_among_others_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(lines, "LONGEST_LINE", 1000)
        (path := tmp_path / "kis.jsonl").write_bytes(b"{}\n" + b"x" * 2000 + b"\n{}\n")
        with pytest.raises(KISError, match=r"kis\.jsonl:2: found a line of more than"):
            RunLogReader().read(path)

    def test_skimming_a_log_gives_what_parsing_it_gives(self, tmp_path, monkeypatch):
        with tarfile.open(RECORDED) as archive:
            archive.extractall(tmp_path, filter="data")
        paths = sorted(tmp_path.rglob("kis.jsonl"))[::10]
        parsed = [RunLogReader().read(path) for path in paths]
        monkeypatch.setattr(run_log_scan, "_SKIM_BEYOND", -1)
        assert [RunLogReader().read(path) for path in paths] == parsed

    @pytest.mark.slow
    def test_a_large_log_is_read_at_a_hundred_megabytes_a_second(self, tmp_path):
        self.long_log(tmp_path / "kis.jsonl", 900_000)
        started = time.process_time()
        ((run,), size) = RunLogReader().read(tmp_path / "kis.jsonl"), (tmp_path / "kis.jsonl").stat().st_size
        assert run.loss == 2.5
        assert size > 280e6
        assert size / (time.process_time() - started) > 60e6  # 100 on an idle core; this one may be shared


class TestContradictions:
    @pytest.mark.parametrize(("accuracy", "correct"), [(0.9, 45), (0.5, 101), (0.1, 20)])
    def test_an_accuracy_that_its_counts_contradict_is_left_out(self, write_log, accuracy, correct):
        path = write_log("a", {**HELD_OUT, "accuracy": accuracy, "correct": correct}, END)
        (left_out,) = RunLogReader().read(path)
        assert isinstance(left_out, LeftOut)
        assert f"contradicts {correct} correct of 100" in left_out.reason

    @pytest.mark.parametrize("accuracy", [0.5, 0.503, 0.497])
    def test_a_rounded_accuracy_is_none(self, write_log, accuracy):
        (run,) = RunLogReader().read(write_log("a", {**HELD_OUT, "accuracy": accuracy, "correct": 50}, END))
        assert run.retention == accuracy


class TestRunsThatAreNotWhatTheySay:
    CASES = (
        ({**END, "miscounted": 3}, "was miscounted"),
        ({**END, "counted_from_step": 24}, "was resumed without their counts"),
        ({**END, "throttled": [{"step": 3, "keep": 0.5}]}, "was throttled by their guard"),
        ({**END, "status": "stopped"}, "did not complete"),
        ({"type": "run", "run_id": "a", "params": 10**7, "tokens": 2 * 10**8, "frequency": 9.0, "options": 4},
         "was resumed with another plan"),
        ({"type": "loss", "step": 9, "tokens": 9, "split": "eval", "loss": float("nan")}, "diverged"),
        ({**HELD_OUT, "accuracy": float("nan")}, "diverged"),
        ({**HELD_OUT, "accuracy": 0.0}, "diverged: not one probe is right"),
    )  # fmt: skip

    @pytest.mark.parametrize(("record", "reason"), CASES)
    def test_it_is_named_and_left_out(self, write_log, record, reason):
        path = write_log("a", HELD_OUT, record, *([] if record["type"] == "end" else [END]))
        (warning,) = build_sweep(RunLogReader().read(path)).warnings
        assert warning.startswith("Left out 1 run that ")
        assert reason in warning
        assert str(path) in warning

    @pytest.mark.parametrize(("schema", "status"), [(1, "throttled"), (2, "completed")])
    def test_each_schema_has_its_own_names(self, write_log, schema, status):
        path = write_log("a", HELD_OUT, {**END, "eased": [{"step": 3, "keep": 0.5}]}, schema=schema)
        (run,) = RunLogReader().read(path)
        assert run.status == status

    def test_a_resumed_run_of_the_same_plan_is_fitted(self, write_log):
        path = write_log("a", HELD_OUT, json.loads(write_log("b").read_text()) | {"run_id": "a"}, END)
        (run,) = RunLogReader().read(path)
        assert run.status == "completed"

    def test_a_doubtful_frequency_is_named(self, write_log):
        path = write_log("a", HELD_OUT, END, frequency=1e-300)
        assert "doubtful frequency" in build_sweep(RunLogReader().read(path)).warnings[0]


class TestLosses:
    LOSSES = tuple({"type": "loss", "step": 9, "tokens": 9, "split": split, "loss": loss}
              for split, loss in (("general", 1.0), ("wiki", 2.0), ("domain", 3.0)))  # fmt: skip

    @pytest.mark.parametrize("skim_beyond", [-1, 10**9])
    @pytest.mark.parametrize(
        ("in_log", "option", "loss", "unclear"),
        [
            ("wiki", None, 2.0, ()),
            ("wiki", "domain", 3.0, ()),  # the option counts
            (None, "wiki", 2.0, ()),
            (None, "general", 1.0, ()),
            (None, None, None, ("domain", "wiki")),
            ("x", None, None, ("domain", "general", "wiki")),
            (None, "x", None, ("domain", "general", "wiki")),
        ],
    )
    def test_the_named_split_is_general_loss(self, write_log, monkeypatch, in_log, option, loss, unclear, skim_beyond):
        monkeypatch.setattr(run_log_scan, "_SKIM_BEYOND", skim_beyond)
        named = {"general_split": in_log} if in_log else {}
        (run,) = RunLogReader(option).read(write_log("a", HELD_OUT, *self.LOSSES, END, **named))
        assert (run.loss, run.loss_splits) == (loss, unclear)

    def test_names_of_the_trainer_are_found_without_their_prefix(self, write_log):
        losses = ({**loss, "split": f"eval_{loss['split']}"} for loss in self.LOSSES)
        (run,) = RunLogReader().read(write_log("a", HELD_OUT, *losses, END, general_split="wiki"))
        assert (run.loss, run.loss_splits) == (2.0, ())

    def test_the_only_split_of_the_host_needs_no_name(self, write_log):
        (run,) = RunLogReader().read(write_log("a", HELD_OUT, *self.LOSSES[:2], END))
        assert (run.loss, run.loss_splits) == (2.0, ())

    def test_the_option_reaches_the_reader(self, write_log, tmp_path):
        write_log("a", HELD_OUT, *self.LOSSES, END)
        assert gather([tmp_path], registered("log_readers"), general_split="wiki").runs[0].loss == 2.0
        assert main(["--logs", str(tmp_path), "--target", "1B", "--general-split", "x"]) == 2

    def test_several_splits_without_a_name_are_refused_where_they_decide(self, write_log):
        runs = list(RunLogReader().read(path := write_log("a", HELD_OUT, *self.LOSSES, END)))
        with pytest.raises(KISError, match=rf"--general-split: found losses of domain, wiki in 1 of 1 logs.*{path}"):
            predict(runs, "1B")

    def test_without_a_loss_of_the_host_that_of_kis_counts(self, write_log):
        (run,) = RunLogReader().read(write_log("a", HELD_OUT, self.LOSSES[0], END))
        assert run.loss == 1.0


class TestTables:
    @pytest.fixture
    def rows(self, write_csv, sweep_runs) -> str:
        return write_csv(sweep_runs(sizes=(1e7,))).read_text()

    @pytest.mark.parametrize("delimiter", [";", "\t"])
    def test_semicolons_and_tabs_part_columns_too(self, rows, tmp_path, delimiter):
        (path := tmp_path / "other.csv").write_text(rows.replace(",", delimiter))
        assert len(read(path)) == 11

    @pytest.mark.parametrize("name", ["other.tsv", "other.csv.gz", "other.tsv.gz"])
    def test_names_of_tables(self, rows, tmp_path, name):
        text = rows.replace(",", "\t" if "tsv" in name else ",").encode()
        (path := tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
        found = read(path)
        assert len(found) == 11
        assert found[0].source == f"{path}:2"

    def test_a_compressed_run_log_is_read(self, write_log):
        path = write_log("a", HELD_OUT, END)
        packed = path.with_name("kis.jsonl.gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        assert read(packed)[0].retention == 0.5

    def test_an_export_of_other_columns_gets_the_mapping_it_needs(self, tmp_path, capsys):
        header = (
            '"Name","State","config.n_params","config.max_tokens","config.frequency","retention/held_out","Runtime"'
        )
        (path := tmp_path / "wandb.csv").write_text(header + '\n"a","finished","1e7","2e8","8","0.5","9"\n')
        assert main(["--logs", str(path), "--target", "7B"]) == 2
        expected = "--map params=config.n_params --map tokens=config.max_tokens --map frequency=config.frequency "
        assert expected + "--map retention=retention/held_out" in capsys.readouterr().err


class TestForeignYAML:
    @pytest.mark.parametrize(
        "text", ["a: &x [1, 2]\nb: *x\n", "a: &x {b: 1}\nc: {<<: *x}\n", "a: " + "x" * 2_000_000],
        ids=["alias", "merge", "large"],
    )  # fmt: skip
    def test_what_could_explode_is_refused(self, tmp_path, text):
        (path := tmp_path / "config.yaml").write_text(text)
        with pytest.raises(KISError, match=r"config\.yaml"):
            load_mapping(path)

    def test_integers_are_those_of_the_core_schema(self, tmp_path):
        text = "a: 1:10:10\nb: 12\nc: 0x10\nd: 0o17\ne: 1_000\nf: 2026-01-01\ng: 1.5e3\n"
        (path := tmp_path / "config.yaml").write_text(text)
        expected = {"a": "1:10:10", "b": 12, "c": 16, "d": 15, "e": "1_000", "f": "2026-01-01", "g": "1.5e3"}
        assert load_mapping(path) == expected

    def test_a_number_of_base_60_costs_nothing(self, tmp_path):
        (path := tmp_path / "config.yaml").write_text("max_tokens: " + "1:" + "10:" * 100_000 + "10\n")
        started = time.process_time()
        assert isinstance(load_mapping(path), dict)
        assert time.process_time() - started < 5


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(
    "name", ["kis.jsonl", "sweep.csv", "metrics.csv", "trainer_state.json", "logs.tar.gz", "x.csv.gz"]
)
def test_random_bytes_never_give_a_traceback(tmp_path, name, seed, write_log):
    write_log("good", HELD_OUT, END)
    (tmp_path / "good" / name).write_bytes(os.urandom(50 * seed) if seed % 2 else b'{"type":\n' * seed + os.urandom(9))
    try:
        found = read(tmp_path / "good")
    except KISError as error:
        assert name in str(error)  # noqa: PT017
    else:
        assert len(found) == (1 if name != "kis.jsonl" else 0)
