"""A run that was killed goes on with ``--resume auto`` exactly where its checkpoint stands."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from litgpt.data import TextFiles

from kis_plugin.errors import KISError
from tests.world.facts import WORDS
from tests.world.litgpt import Rows, run, shown, write_kis
from tests.world.logs import log_of


def joined(seen):
    """All inputs and all targets, (rows, T) each; what was seen is forgotten."""
    parts = [np.concatenate(part) for part in zip(*seen, strict=True)]
    seen.clear()
    return parts


def metrics_of(folder):
    """What LitGPT logged since its last start, line by line."""
    path = max((folder / "out").rglob("metrics.csv"), key=lambda path: path.stat().st_mtime_ns)
    with path.open() as file:
        lines = [{key: float(value) for key, value in line.items() if value} for line in csv.DictReader(file)]
    return [line for line in lines if "learning_rate" in line]


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (Rows(), {}),
        (Rows(workers=2), {}),
        (Rows(shuffle=False), {}),
        (Rows(kind="stream"), {}),
        (Rows(kind="stateful"), {}),
        (Rows(count=79), {}),
        (Rows(), {"accumulation": 2, "steps": 18}),
        (Rows(), {"tie_embeddings": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("cut", [7, 20, 27])  # inside the first pass, right at its end, inside the second
def test_a_resumed_run_trains_on_the_rows_of_an_unbroken_one(tmp_path, seen, data, keys, cut):
    keys = {"steps": 36, "save_interval": 1, "interval": 12} | keys
    cut //= keys.get("accumulation", 1)
    whole = write_kis(tmp_path / "whole")
    run(tmp_path / "whole", data, whole, **keys)
    unbroken = list(seen)
    seen.clear()
    kis = write_kis(tmp_path)
    run(tmp_path, data, kis, kill_at=cut, **keys)
    assert log_of(tmp_path).end is None
    del seen[cut * keys.get("accumulation", 1) :]  # the kill came after the next loss, before its step
    run(tmp_path, data, kis, resume="auto", **keys)
    assert [[part.tolist() for part in pair] for pair in seen] == [
        [part.tolist() for part in pair] for pair in unbroken
    ]
    assert set(shown(tmp_path, seen, kis).values()) == {5}
    log, other = log_of(tmp_path), log_of(tmp_path / "whole")
    assert log.end.status == "completed"
    assert log.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
    series = [[(r.step, r.probe, r.accuracy, r.margin) for r in one.retention] for one in (log, other)]
    assert series[0] == series[1]
    assert {step for step, *_ in series[0]} == {*range(0, keys["steps"], 12), keys["steps"]}


@pytest.mark.slow
def test_litgpts_own_text_files_go_on_where_they_were(tmp_path, seen):
    pytest.importorskip("litdata")
    words, order = np.array(WORDS), np.random.default_rng(0)
    (tmp_path / "text").mkdir()
    for number in range(4):
        (tmp_path / "text" / f"{number}.txt").write_text(" ".join(words[order.integers(0, len(words), 2200)]))
    keys = {"steps": 45, "save_interval": 1, "interval": 12}

    def data():
        return TextFiles(train_data_path=tmp_path / "text", num_workers=2)

    run(tmp_path / "whole", data(), write_kis(tmp_path / "whole"), **keys)
    unbroken = list(seen)
    seen.clear()
    kis = write_kis(tmp_path)
    run(tmp_path, data(), kis, kill_at=30, **keys)  # inside the second pass
    del seen[30:]
    run(tmp_path, data(), kis, resume="auto", **keys)
    assert all((a == b).all() for pairs in zip(seen, unbroken, strict=True) for a, b in zip(*pairs, strict=True))
    assert set(shown(tmp_path, seen, kis).values()) == {5}


def test_a_kill_after_a_checkpoint_repeats_what_came_after_it(tmp_path, seen):
    kis = write_kis(tmp_path)
    run(tmp_path, Rows(), kis, steps=36, save_interval=5, interval=4, kill_at=13)
    del seen[10:]
    run(tmp_path, Rows(), kis, steps=36, save_interval=5, interval=4, resume="auto")
    assert set(shown(tmp_path, seen, kis).values()) == {5}
    log = log_of(tmp_path)
    assert log.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
    held_out = [(r.step, r.accuracy, r.margin) for r in log.retention if r.probe == "held_out"]
    assert [step for step, *_ in held_out] == [0, 4, 8, 12, 12, 16, 20, 24, 28, 32, 36]
    assert held_out[3] == held_out[4]


@pytest.mark.parametrize("kind", ["map", "stream"])
@pytest.mark.parametrize(("batch", "accumulation"), [(2, 4), (8, 1)])
@pytest.mark.parametrize("cut", [5, 10])  # inside the first pass, right at its end
def test_a_resume_in_batches_of_another_size_shows_the_same_rows(tmp_path, seen, kind, batch, accumulation, cut):
    """A step has the same rows in more or fewer iterations, by which LitGPT counts its place and its learning rate."""
    kis, data = write_kis(tmp_path), Rows(kind=kind)
    run(tmp_path / "whole", data, write_kis(tmp_path / "whole"), steps=14, accumulation=2)
    whole = joined(seen)
    run(tmp_path, data, kis, steps=14, accumulation=2, kill_at=cut + 1)
    before = [part[: cut * 8] for part in joined(seen)]
    run(tmp_path, data, kis, steps=14, batch=batch, accumulation=accumulation, resume="auto")
    after = joined(seen)
    for first, rest, all_rows in zip(before, after, whole, strict=True):
        np.testing.assert_array_equal(np.concatenate([first, rest]), all_rows)
    assert set(shown(tmp_path, [tuple(before), tuple(after)], kis).values()) == {5}
    assert log_of(tmp_path).end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
    rates = [line["learning_rate"] for line in metrics_of(tmp_path)]
    assert rates[-1] == pytest.approx([line["learning_rate"] for line in metrics_of(tmp_path / "whole")][-1], abs=1e-4)


def test_a_loader_that_keeps_its_place_itself_resumes_in_its_batches_only(tmp_path, seen, capsys):
    data = Rows(kind="stateful")
    run(tmp_path, data, write_kis(tmp_path), accumulation=2, kill_at=7)
    with pytest.raises(KISError, match=r"resume at step 5: data: found 2 rows an iteration .* keeps its place itself"):
        run(tmp_path, data, write_kis(tmp_path), batch=2, accumulation=4, resume="auto")
    seen.clear()
    run(tmp_path, data, write_kis(tmp_path, on_mismatch="warn"), batch=2, accumulation=4, resume="auto")
    assert "the data continues elsewhere: resume at step 5" in capsys.readouterr().err
    assert log_of(tmp_path).end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}


def test_a_resume_that_would_lose_rows_is_refused(tmp_path, seen):
    kis = write_kis(tmp_path)
    run(tmp_path, Rows(), kis, kill_at=7)
    with pytest.raises(KISError, match="resume at step 5: rows_per_step: found 8, expected 4 as before"):
        run(tmp_path, Rows(), kis, steps=10, accumulation=2, resume="auto")
    with pytest.raises(KISError, match="resume at step 5: rows_per_step: found 2, expected 4 as before"):
        run(tmp_path, Rows(), kis, steps=40, batch=2, resume="auto")
    with pytest.raises(KISError, match="resume at step 5: rows: found 120, expected 80 as in the checkpoint"):
        run(tmp_path, Rows(), kis, steps=30, resume="auto")


def test_a_checkpoint_without_kis_is_refused(tmp_path, seen):
    # Only a stateful loader: LitGPT pickles any other, and torch refuses to load that.
    run(tmp_path, Rows(kind="stateful"), kill_at=7)
    with pytest.raises(KISError, match="a checkpoint that was written without KIS"):
        run(tmp_path, Rows(kind="stateful"), write_kis(tmp_path), resume="auto")
    assert not (tmp_path / "runs").exists()


def test_a_run_from_given_weights_knows_what_they_learned(tmp_path, seen):
    """Continued pretraining: ``initial_checkpoint_dir`` takes weights alone, and the run begins at row 0."""
    run(tmp_path / "first", Rows(), write_kis(tmp_path / "first"), steps=20)
    weights = torch.load(tmp_path / "first" / "out" / "final" / "lit_model.pth", weights_only=False)["model"]
    given = tmp_path / "weights"
    given.mkdir()
    torch.save(weights, given / "lit_model.pth")
    seen.clear()
    kis = write_kis(tmp_path / "second")
    run(tmp_path / "second", Rows(), kis, steps=20, initial_checkpoint_dir=given)
    assert set(shown(tmp_path / "second", seen, kis).values()) == {5}
    first, second = log_of(tmp_path / "first"), log_of(tmp_path / "second")
    at = lambda log, step: {r.probe: (r.accuracy, r.margin) for r in log.retention if r.step == step}  # noqa: E731
    assert at(second, 0).keys() == at(first, 20).keys()
    for probe, (accuracy, margin) in at(first, 20).items():
        assert at(second, 0)[probe] == (accuracy, pytest.approx(margin, abs=1e-4))
