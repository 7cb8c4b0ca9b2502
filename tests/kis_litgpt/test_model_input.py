"""LitGPT's model and loss get the rows that its loop holds, or the run stops at the first infused ones."""

from __future__ import annotations

import functools

import pytest
import torch
from litgpt import pretrain

from kis_litgpt.model_input import ModelInput
from kis_plugin.errors import KISError
from tests.world.litgpt import run, write_kis


def masked(ids):
    return torch.where(ids % 5 == 0, torch.full_like(ids, 3), ids)


def test_a_model_that_changes_its_ids_stops_the_run_at_the_first_infused_rows(tmp_path, seen, monkeypatch):
    forward = pretrain.GPT.forward
    monkeypatch.setattr(pretrain.GPT, "forward", lambda self, idx, *args, **kwargs: forward(self, masked(idx)))
    with pytest.raises(KISError, match=r"of the first . infused rows not in what the model was given") as refused:
        run(tmp_path, kis=write_kis(tmp_path))
    assert len(seen) < 10  # of 20 steps
    assert "a model that gets embeddings in place of ids" in str(refused.value)


def test_targets_that_are_not_the_tokens_of_the_row_stop_the_run(tmp_path, seen, monkeypatch):
    fit = pretrain.fit

    @functools.wraps(fit)
    def with_masked_targets(*args, **keys):
        loss = pretrain.chunked_cross_entropy
        monkeypatch.setattr(
            pretrain, "chunked_cross_entropy", lambda logits, targets, *args, **more: loss(logits, masked(targets))
        )
        return fit(*args, **keys)

    monkeypatch.setattr(pretrain, "fit", with_masked_targets)
    with pytest.raises(KISError, match="labels of infused row"):
        run(tmp_path, kis=write_kis(tmp_path))
    assert len(seen) < 10


def test_nothing_is_watched_once_the_first_rows_came(tmp_path, seen, monkeypatch):
    watching = []
    stop = ModelInput.stop
    monkeypatch.setattr(ModelInput, "stop", lambda self: (watching.append(len(seen)), stop(self)))
    run(tmp_path, kis=write_kis(tmp_path))
    assert len(watching) == 1
    assert watching[0] < 10
