"""Plain loops over batches of any form: what is infused is the collated batch, and every fact is shown F times."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from kis_plugin.errors import KISError
from kis_torch import KnowledgeInfusion
from tests.kis_hf.test_batch_shapes import Named, Pairs, Texts, ids_of
from tests.kis_hf.test_row_shapes import RaggedRows, anywhere, pad_longest
from tests.world.data import BareRows, Stream
from tests.world.facts import kis
from tests.world.logs import log_of
from tests.world.models import make_model
from tests.world.tokenizers import make_tokenizer

STEPS = 60


def train(config, data, seen, steps=STEPS, stop=0, resumed=None, ahead=False, **keys):
    """Train as a user would; with ``ahead`` a batch is drawn before the one before it is trained on."""
    model = make_model()
    infusion = KnowledgeInfusion(
        config, make_tokenizer(), model, data, batch_size=4, steps=steps, resumed=resumed, **keys
    )
    batches = iter(infusion.loader(data))
    following = next(batches) if ahead else None
    for step in range(infusion.step + 1, steps + 1):
        batch, following = (following, next(batches, None)) if ahead else (next(batches), None)
        ids = ids_of(batch)
        seen.append(ids.numpy().copy())
        model(input_ids=ids, labels=ids).loss.backward()
        infusion.batch(batch)
        infusion.step_end(step)
        if step == stop:
            return json.loads(json.dumps(infusion.save()))
    infusion.end()
    return None


def assert_exact(seen, folder, config, tokenizer, frequency=3):
    assert set(anywhere(seen, config, tokenizer).values()) == {frequency}
    end = log_of(folder).end
    assert end.achieved_frequency == {"min": frequency, "max": frequency, "mean": frequency}
    assert end.extra["miscounted"] == 0


def collate_texts(examples):
    ids = make_tokenizer()([one["text"] for one in examples], return_tensors="pt", truncation=True, max_length=64)
    return dict(ids)


def ragged(tokenizer):
    return RaggedRows(120, tokenizer)


def ragged_stream(tokenizer):
    return Stream(RaggedRows(240, tokenizer, 20))


def loader(tokenizer):
    rows = [{name: torch.tensor(column) for name, column in row.items()} for row in RaggedRows(120, tokenizer, 64)]
    return DataLoader(rows, batch_size=4)


class OfPairs:
    """Makes batches of inputs and targets that are shifted already, as nanoGPT's get_batch does."""

    def __init__(self, tokenizer):
        self.rows = torch.tensor(np.concatenate([BareRows(80, tokenizer).rows, BareRows(80, tokenizer).rows], axis=1))

    def __call__(self):
        some = self.rows[torch.randint(len(self.rows), (4,))]
        return some[:, :64], some[:, 1:65]


FORMS = {
    "different lengths": (ragged, {"collate_fn": pad_longest()}),
    "padded on the left": (ragged, {"collate_fn": pad_longest("left")}),
    "a stream of different lengths": (ragged_stream, {"collate_fn": pad_longest()}),
    "tuples": (lambda tokenizer: Pairs(80, tokenizer), {"collate_fn": torch.utils.data.default_collate}),
    "other names": (lambda tokenizer: Named(80, tokenizer), {"collate_fn": torch.utils.data.default_collate}),
    "text": (lambda tokenizer: Texts(80, tokenizer), {"collate_fn": collate_texts}),
    "a loader": (loader, {}),
    "a function": (OfPairs, {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_batches_of_any_form_are_infused_exactly(tmp_path, form):
    config, tokenizer, seen = kis(tmp_path, frequency=3), make_tokenizer(), []
    make, keys = FORMS[form]
    train(config, make(tokenizer), seen, **keys)
    assert_exact(seen, tmp_path, config, tokenizer)


@pytest.mark.parametrize("form", ["different lengths", "a stream of different lengths", "a loader"])
def test_a_resumed_run_shows_the_same_batches_as_an_unbroken_one(tmp_path, form):
    tokenizer, (make, keys), batches = make_tokenizer(), FORMS[form], {}
    for name, stop in (("whole", 0), ("parts", 23)):
        config = kis(tmp_path, frequency=3) | {"run_log": str(tmp_path / name / "runs")}
        seen = batches[name] = []
        state = train(config, make(tokenizer), seen, stop=stop, ahead=True, **keys)
        if state:
            train(config, make(tokenizer), seen, resumed=state, **keys)
        assert_exact(seen, tmp_path / name, config, tokenizer)
    assert [one.tolist() for one in batches["whole"]] == [one.tolist() for one in batches["parts"]]


def test_a_batch_of_ones_own_is_infused_when_it_is_made(tmp_path):
    config, tokenizer, seen = kis(tmp_path, frequency=3), make_tokenizer(), []
    make, model = OfPairs(tokenizer), make_model()
    state = torch.get_rng_state()
    infusion = KnowledgeInfusion(config, tokenizer, model, make, batch_size=4, steps=20)
    assert torch.equal(state, torch.get_rng_state()), "what was looked at beforehand shows in what is drawn"
    for step in range(1, 21):
        inputs, targets = infusion.infuse(make())
        infused = (inputs[:, 1:] == targets[:, :-1]).all()
        assert infused
        seen.append(inputs.numpy())
        infusion.batch((inputs, targets))
        infusion.step_end(step)
    infusion.end()
    assert_exact(seen, tmp_path, config, tokenizer)


def test_what_cannot_be_infused_in_batches_is_refused_by_name(tmp_path):
    config, tokenizer = kis(tmp_path, frequency=1), make_tokenizer()
    rows = RaggedRows(80, tokenizer)
    keys = {"batch_size": 4, "steps": 20}
    with pytest.raises(KISError, match="collate_fn: found default_collate, which cannot join rows"):
        KnowledgeInfusion(config, tokenizer, make_model(), rows, collate_fn=torch.utils.data.default_collate, **keys)
    once = iter([rows[0]] * 8)
    with pytest.raises(KISError, match="a stream that can be read once only"):
        KnowledgeInfusion(config, tokenizer, make_model(), once, collate_fn=pad_longest(), **keys)
    plain = KnowledgeInfusion(config, tokenizer, make_model(), BareRows(80, tokenizer), **keys)
    with pytest.raises(KISError, match=r"infuse\(\): found one whose loader infuses the rows"):
        plain.infuse(torch.zeros(4, 64, dtype=torch.long))
    short = KnowledgeInfusion(config, tokenizer, make_model(), rows, collate_fn=pad_longest(), **keys)
    with pytest.raises(KISError, match="batch 1: found a batch of 3 rows, expected 4 rows in every batch"):
        short.infuse(torch.zeros(3, 64, dtype=torch.long))
