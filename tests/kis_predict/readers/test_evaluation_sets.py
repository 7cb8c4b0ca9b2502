"""Logs with the losses of several evaluation sets: the named one is general loss, in every format."""

import pytest

from kis_plugin.errors import KISError
from kis_plugin.registry import registered
from kis_predict import predict
from kis_predict.readers.gather import gather
from tests.kis_predict.readers.test_foreign_logs import put_sidecar, put_state, read

SETS = {"wiki": 2.0, "domain": 3.0}
ROW = {"params": "1000", "tokens": "50000", "frequency": "8", "retention": "0.5"}


def put_states(folder, losses):
    history = [{"retention/held_out": 0.5, "step": 24}]
    history += [{f"eval_{name}_loss" if name else "eval_loss": loss, "step": 24} for name, loss in losses.items()]
    put_state(folder, log_history=history)
    put_sidecar(folder, params=1000)


def put_metrics(folder, losses):
    columns = {f"val_{name}_loss" if name else "val_loss": f"{loss}" for name, loss in losses.items()}
    (folder / "version_0").mkdir(parents=True)
    table = [["step", "total_tokens", "retention/held_out", *columns], ["10", "50000", "0.5", *columns.values()]]
    (folder / "version_0" / "metrics.csv").write_text("".join(",".join(row) + "\n" for row in table))
    put_sidecar(folder, params=1000, frequency=8, tokens=50000)


def put_export(folder, losses):
    row = {**ROW, **{f"eval/{name}_loss" if name else "eval/loss": f"{loss}" for name, loss in losses.items()}}
    folder.mkdir(parents=True)
    (folder / "export.csv").write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")


def put_events(folder, losses):
    writer = pytest.importorskip("tensorboardX").SummaryWriter(str(folder))
    for tag, value in {"retention/held_out": 0.5, "total_tokens": 50000}.items():
        writer.add_scalar(tag, value, 10)
    for name, loss in losses.items():
        writer.add_scalar(f"eval/{name}_loss" if name else "eval/loss", loss, 10)
    writer.close()
    put_sidecar(folder, params=1000, frequency=8, tokens=50000)


@pytest.mark.parametrize("write", [put_states, put_metrics, put_export, put_events])
def test_the_named_evaluation_set_is_general_loss_in_every_format(tmp_path, write):
    write(tmp_path / "a", SETS)
    (unclear,) = read(tmp_path).runs
    assert unclear.loss is None
    assert [name.partition("_")[2] for name in unclear.loss_splits] == ["domain", "wiki"]
    with pytest.raises(KISError, match=r"--general-split: found losses of \w+_domain, \w+_wiki in 1 of 1 logs"):
        predict([unclear], "1B")
    for name, loss in SETS.items():
        (run,) = gather([tmp_path], registered("log_readers"), general_split=name).runs
        assert (run.loss, run.loss_splits) == (loss, ())
    (other,) = gather([tmp_path], registered("log_readers"), general_split="books").runs
    assert other.loss_splits == unclear.loss_splits


@pytest.mark.parametrize("write", [put_states, put_metrics, put_export, put_events])
def test_the_only_evaluation_set_needs_no_name(tmp_path, write):
    write(tmp_path / "a", {"": 2.5})
    write(tmp_path / "b", {"wiki": 2.5})
    assert [(run.loss, run.loss_splits) for run in read(tmp_path).runs] == [(2.5, ())] * 2


def test_a_mapped_loss_or_a_column_of_that_name_decides(tmp_path):
    put_states(tmp_path / "a", SETS)
    (run,) = read(tmp_path, loss="eval_domain_loss").runs
    assert (run.loss, run.loss_splits) == (3.0, ())
    row = {**ROW, "loss": "1.5", "eval/wiki_loss": "2", "eval/domain_loss": "3"}
    (tmp_path / "table.csv").write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
    (run,) = read(tmp_path / "table.csv").runs
    assert (run.loss, run.loss_splits) == (1.5, ())
    (run,) = gather([tmp_path / "table.csv"], registered("log_readers"), general_split="wiki").runs
    assert (run.loss, run.loss_splits) == (2.0, ())


def test_case_of_columns_does_not_matter(tmp_path):
    put_export(tmp_path / "a", {"WikiText": 2.0, "Domain": 3.0})
    for name in ("WikiText", "wikitext", "eval_WikiText"):
        assert gather([tmp_path], registered("log_readers"), general_split=name).runs[0].loss == 2.0


def test_the_loss_that_kis_measured_counts_where_the_framework_has_none(tmp_path):
    put_state(tmp_path, log_history=[{"retention/held_out": 0.5, "retention/general_loss": 2.25, "step": 24}])
    put_sidecar(tmp_path, params=1000)
    assert read(tmp_path).runs[0].loss == 2.25


def test_a_diverged_loss_of_an_export_is_no_completed_run(tmp_path):
    put_export(tmp_path / "a", {"wiki": float("nan")})
    assert read(tmp_path).runs[0].status == "diverged"
