"""Every fact is shown exactly F times, counted in what LitGPT took its loss of."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tokenizers import Tokenizer

from tests.world import facts
from tests.world.data import SEQUENCE_LENGTH
from tests.world.litgpt import Rows, controls_shown, decode, run, shown, write_kis
from tests.world.logs import log_of
from tests.world.tokenizers import EOS, write_lit_tokenizer


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (Rows(), {}),
        (Rows(shuffle=False), {}),
        (Rows(workers=2), {"steps": 40}),
        (Rows(kind="stream"), {"steps": 30}),
        (Rows(kind="stateful"), {"steps": 45}),
        (Rows(count=79), {"steps": 45}),  # the last batch of a pass is short
        (Rows(), {"accumulation": 3, "steps": 12}),
        (
            Rows(),
            {"accumulation": 3, "steps": 12, "extra_tokens": 2 * 4 * SEQUENCE_LENGTH + 7},
        ),  # an accumulation cut short
        (Rows(width=9), {}),
    ],
    ids=str,
)
def test_every_fact_is_shown_exactly_f_times(tmp_path, seen, data, keys):
    kis = write_kis(tmp_path)
    run(tmp_path, data, kis, **keys)
    counts = shown(tmp_path, seen, kis)
    assert len(counts) == 20
    assert set(counts.values()) == {5}
    assert controls_shown(tmp_path, seen, kis) == 0
    log = log_of(tmp_path)
    assert log.end.status == "completed"
    assert log.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
    assert log.run.tokens == keys.get("steps", 20) * keys.get("accumulation", 1) * 4 * SEQUENCE_LENGTH


def test_texts_begin_with_bos_where_the_configuration_says_so(tmp_path, seen):
    folder = write_lit_tokenizer(tmp_path / "tokenizer")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens(["<bos>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"bos_token": "<bos>"}))
    kis = write_kis(tmp_path, begin="bos")
    run(tmp_path, Rows(), kis)
    targets = decode(tmp_path, np.concatenate([targets for _, targets in seen]))
    begun = [f"{part.split(EOS)[0]}{EOS}" for text in targets for part in text.split("<bos>")[1:]]
    counts = facts.shown(begun, kis)
    assert len(counts) == 20
    assert set(counts.values()) == {5}
    assert log_of(tmp_path).end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}


def test_inline_sentences_are_targets_as_a_whole(tmp_path, seen):
    kis = write_kis(tmp_path, infusion={"frequency": 3, "placement": "inline", "template_order": "first"})
    run(tmp_path, Rows(), kis)
    text = "".join(row + "|" for _, targets in seen for row in decode(tmp_path, targets))
    counts = [text.count(f" The place where Person{n} was born is Town{n % 8}.") for n in range(24)]
    assert sorted(counts) == [0] * 4 + [3] * 20  # 4 controls
    assert log_of(tmp_path).end.achieved_frequency == {"min": 3, "max": 3, "mean": 3}


def test_infused_rows_are_sentences_then_base_text(tmp_path, seen):
    kis = write_kis(tmp_path)
    run(tmp_path, Rows(), kis)
    infused = [list(seen)]
    (tmp_path / "plain").mkdir()
    seen.clear()
    run(tmp_path / "plain", Rows())
    replaced = 0
    for (mine, targets), (base, _) in zip(infused[0], seen, strict=True):
        for row, target, plain in zip(mine, targets, base, strict=True):
            assert (row[1:] == target[:-1]).all()
            if (row != plain).any():
                replaced += 1
                assert row[0] == 0
                rest = len(target) - max(at for at, token in enumerate(target) if token == 0) - 1
                assert (target[len(target) - rest :] == plain[:rest]).all()
    assert 0 < replaced < 80
