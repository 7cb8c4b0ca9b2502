"""What every adapter must do, as pytest tests that run a small model in its host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pytest

from kis_plugin.errors import KISError
from kis_plugin.run.log import LOG_NAME, RunLog, read_run_log
from kis_plugin.testing.small_knowledge import CONTROLS, FACTS, controls_shown, shown, small_config

__all__ = ["BATCH", "ROWS", "SEQUENCE_LENGTH", "AdapterSuite", "Host", "Outcome", "run_files", "run_log"]

BATCH, SEQUENCE_LENGTH, ROWS = 4, 64, 80
INFUSED = FACTS - CONTROLS


@dataclass
class Outcome:
    """What came of one run.

    Attributes:
        batches: Every batch that a loss was taken of, (BATCH, SEQUENCE_LENGTH) token ids.
        weights: The model's, where the run went to its end.
        end_again: Reports the end of the run to the adapter once more.
    """

    batches: list[npt.NDArray[np.int64]]
    weights: list[npt.NDArray[Any]] = field(default_factory=list)
    end_again: Callable[[], None] = lambda: None


class Host(Protocol):
    """One adapter in its framework.

    It trains a small causal language model on 80 rows of 64 tokens, made of the words in
    ``kis_plugin.testing.small_knowledge.WORDS``, 4 rows a batch and one batch a step.
    """

    finds_any_epoch: bool
    """Whether a resume continues where it was in any epoch, not only in the first."""

    def run(
        self,
        folder: Path,
        config: dict[str, Any] | None,
        steps: int = 20,
        stop: int = 0,
        resume: bool = False,
        big: bool = False,
    ) -> Outcome:
        """Train in ``folder``, or continue there.

        Args:
            folder: Checkpoints go here.
            config: Of KIS; None trains without it.
            steps: Of the whole run; retention is measured at its start, middle and end.
            stop: Ends the run after this step, with a checkpoint.
            resume: Continues from that checkpoint.
            big: A model that can learn the facts.
        """

    def decode(self, folder: Path, row: npt.NDArray[np.int64]) -> str:
        """Return the text of a row, with ``<eos>`` where texts end."""


class AdapterSuite(ABC):
    """Tests of one adapter: subclass it as ``Test...`` and say how its host is made."""

    @abstractmethod
    def make_host(self, monkeypatch: pytest.MonkeyPatch) -> Host:
        """Return the adapter in its host."""

    @pytest.fixture
    def host(self, monkeypatch: pytest.MonkeyPatch) -> Host:
        """Return the host of one test."""
        return self.make_host(monkeypatch)

    def test_every_fact_is_shown_f_times_and_controls_never(self, host: Host, tmp_path: Path) -> None:
        """Counted in what the model was given, in two epochs and a quarter."""
        config = small_config(tmp_path, 5)
        outcome = host.run(tmp_path, config, steps=45)
        text = [host.decode(tmp_path, row) for batch in outcome.batches for row in batch]
        assert sorted(shown(text, config).values()) == [5] * INFUSED
        assert sorted(controls_shown(text, config).values()) == [0] * CONTROLS
        log = run_log(tmp_path)
        assert log.end is not None
        assert (log.end.status, log.end.step) == ("completed", 45)
        assert log.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
        assert log.run.tokens == 45 * BATCH * SEQUENCE_LENGTH

    @pytest.mark.parametrize(
        ("amount", "fewest", "most"), [({"frequency": 2.5}, 2, 3), ({"share": 0.3}, 3, 4)], ids=["frequency", "share"]
    )
    def test_other_amounts_are_whole_exposures_too(
        self, host: Host, tmp_path: Path, amount: dict[str, float], fewest: int, most: int
    ) -> None:
        """Facts differ by one exposure at most, and the log has their mean."""
        config = small_config(tmp_path) | {"infusion": amount}
        outcome = host.run(tmp_path, config)
        counts = shown([host.decode(tmp_path, row) for batch in outcome.batches for row in batch], config)
        assert fewest <= min(counts.values()) <= max(counts.values()) <= min(most, min(counts.values()) + 1)
        run = run_log(tmp_path).run
        assert run.frequency == pytest.approx(sum(counts.values()) / len(counts))
        if "share" in amount:
            infused = run.infused_tokens or 0
            assert infused <= amount["share"] * run.tokens < infused + SEQUENCE_LENGTH

    def test_the_run_log_describes_run_and_retention(self, host: Host, tmp_path: Path) -> None:
        """Its records hold what a prediction is made from."""
        host.run(tmp_path, small_config(tmp_path, 5))
        log = run_log(tmp_path)
        assert (log.run.tokens, log.run.frequency, log.run.facts) == (20 * BATCH * SEQUENCE_LENGTH, 5, INFUSED)
        assert log.run.params > (log.run.params_non_embedding or 0) > 0
        assert sorted({record.step for record in log.retention}) == [0, 10, 20]
        assert {record.probe for record in log.retention} == {"held_out", "seen", "control", "above_control"}

    def test_the_user_sees_each_evaluation_and_a_summary(
        self, host: Host, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """On stderr, whatever bars and lines the host draws there."""
        host.run(tmp_path, small_config(tmp_path, 5))
        lines = capfd.readouterr().err.splitlines()
        assert len([line for line in lines if "kis:     step  held-out (chance" in line]) == 1
        rows = [line.split()[1] for line in lines if line.startswith("kis:  ") and "step" not in line]
        assert rows == ["0", "10", "20"]
        (infused,) = [line for line in lines if line.startswith("  infused ")]
        assert f"{INFUSED} facts, each exactly 5 times" in infused

    @pytest.mark.slow
    def test_retention_rises_and_controls_stay_at_chance(self, host: Host, tmp_path: Path) -> None:
        """What the model is shown it learns, as its probes say."""
        config = small_config(tmp_path, 80, infusion={"template_order": "first"})
        host.run(tmp_path, config, steps=220, big=True)
        log = run_log(tmp_path)
        series = {
            name: [r.accuracy for r in log.retention if r.probe == name] for name in ("seen", "held_out", "control")
        }
        assert all(len(values) == 3 for values in series.values())
        assert series["seen"][0] < 0.5 < 0.9 <= series["seen"][-1]
        assert series["held_out"][-1] > series["held_out"][0]
        assert series["control"][-1] <= 0.5

    @pytest.mark.parametrize("stop", [7, 26])  # in the first epoch, in the second
    def test_a_stopped_run_resumes_with_the_same_rows(self, host: Host, tmp_path: Path, stop: int) -> None:
        """Both parts together train on what one run trains on, row by row."""
        config, elsewhere = small_config(tmp_path, 5), small_config(tmp_path / "whole", 5)
        whole = host.run(tmp_path / "whole", elsewhere, steps=36)
        first = host.run(tmp_path, config, steps=36, stop=stop)
        if stop > ROWS // BATCH and not host.finds_any_epoch:
            with pytest.raises(KISError, match=r"expected batch 6 of epoch 2.*base text would be repeated"):
                host.run(tmp_path, config, steps=36, resume=True)
            return
        second = host.run(tmp_path, config, steps=36, resume=True)
        rows = [batch.tolist() for batch in [*first.batches, *second.batches]]
        assert rows == [batch.tolist() for batch in whole.batches]
        log = run_log(tmp_path)
        assert log.end is not None
        assert log.end.status == "completed"
        assert log.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"seed": 1}, r"seed: 1 in .*, 0 in the checkpoint"),
            ({"infusion": {"frequency": 4}}, r"infusion\.frequency: 4 in .*, 5 in the checkpoint"),
            ({"infusion": {"frequency": 5, "window": [0, 0.9]}}, r"infusion\.window: \[0\.0, 0\.9\] in "),
            ({"retention": {"control": 0}}, r"retention\.control: 0 in .*, 4 in the checkpoint"),
        ],
        ids=["seed", "frequency", "window", "control"],
    )
    def test_a_resume_with_another_plan_is_refused_by_name(
        self, host: Host, tmp_path: Path, change: dict[str, Any], message: str
    ) -> None:
        """Nothing is written by a run that is refused."""
        config = small_config(tmp_path, 5)
        host.run(tmp_path, config, stop=7)
        before = run_files(tmp_path)
        with pytest.raises(KISError, match=rf"(?s)resume at step 7.*{message}"):
            host.run(tmp_path, config | change, resume=True)
        assert run_files(tmp_path) == before

    def test_an_end_that_is_reported_twice_is_one_end(self, host: Host, tmp_path: Path) -> None:
        """Hosts may report it more than once."""
        outcome = host.run(tmp_path, small_config(tmp_path, 5))
        before = run_files(tmp_path)
        outcome.end_again()
        assert run_files(tmp_path) == before

    def test_a_frequency_of_zero_trains_to_the_same_bits(self, host: Host, tmp_path: Path) -> None:
        """As a run without KIS: batches and weights."""
        plain = host.run(tmp_path / "plain", None)
        watched = host.run(tmp_path / "kis", small_config(tmp_path / "kis", 0))
        assert len(plain.batches) == 20
        assert all(np.array_equal(a, b) for a, b in zip(plain.batches, watched.batches, strict=True))
        assert plain.weights
        assert all(np.array_equal(a, b) for a, b in zip(plain.weights, watched.weights, strict=True))


def run_log(folder: Path) -> RunLog:
    """Read the log of the only run in a folder."""
    (path,) = (folder / "runs").glob(f"*/{LOG_NAME}")
    return read_run_log(path)


def run_files(folder: Path) -> dict[Path, bytes]:
    """Return every file that the runs of a folder wrote, with its content."""
    return {path: path.read_bytes() for path in (folder / "runs").rglob("*") if path.is_file()}
