"""What goes into the first record of a run log about how the host trains."""

import pytest

pytest.importorskip("torch")

import torch

from kis_plugin.run.log import TrainingRecipe
from kis_torch.recipe import optimizer_recipe, repeats, unwrapped, with_warmup

SGD = {"optimizer": "SGD", "learning_rate": 0.5, "weight_decay": 0.0}


def weights():
    return [torch.nn.Parameter(torch.zeros(2))]


def test_an_optimizer_says_its_peak_rate_whatever_its_scheduler_has_made_of_it():
    groups = [{"params": weights(), "weight_decay": 0.1}, {"params": weights(), "weight_decay": 0.0, "lr": 1e-4}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95))
    torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=5)
    assert optimizer.param_groups[0]["lr"] < 1e-4
    assert optimizer_recipe(optimizer, TrainingRecipe(batch_size=8)).known() == {
        "optimizer": "AdamW", "learning_rate": 3e-3, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "batch_size": 8,
    }  # fmt: skip


def test_what_an_optimizer_lacks_is_left_out():
    assert optimizer_recipe(torch.optim.SGD(weights(), lr=torch.tensor(0.5)), TrainingRecipe()).known() == SGD
    adafactor = torch.optim.Adafactor(weights(), lr=1e-2)
    found = optimizer_recipe(adafactor, TrainingRecipe()).known()
    assert found == {"optimizer": "Adafactor", "learning_rate": 0.01, "weight_decay": 0.0}
    assert optimizer_recipe(None, TrainingRecipe()).known() == {}
    assert optimizer_recipe(object(), TrainingRecipe()).known() == {}


def test_an_optimizer_of_accelerate_is_named_by_the_one_inside():
    accelerate = pytest.importorskip("accelerate")
    inside = torch.optim.SGD(weights(), lr=0.5)
    outside = accelerate.Accelerator(cpu=True).prepare(inside)
    assert type(outside) is not type(inside)
    assert optimizer_recipe(outside, TrainingRecipe()).known() == SGD
    assert unwrapped(outside) is inside

    class Mine(torch.optim.SGD):  # an ``optimizer`` of a class of the user's own is no wrapper
        optimizer = inside

    assert optimizer_recipe(Mine(weights(), lr=0.5), TrainingRecipe()).optimizer == "Mine"


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        yield 0


class Lengthened(list):
    distinct_rows = 10


@pytest.mark.parametrize(
    ("rows", "data", "read", "expected"),
    [
        (40, range(20), None, 2.0), (40, range(20), 16, 2.5), (5, range(20), None, 1.0), (40, Stream(), None, None),
        (40, None, None, None), (40, Stream(), 8, 5.0), (40, Lengthened(range(40)), 40, 4.0), (40, [], None, None),
        (100, range(33), None, 3.03),
    ],
)  # fmt: skip
def test_base_rows_are_read_so_often(rows, data, read, expected):
    assert TrainingRecipe(base_repeats=repeats(rows, data, read)).base_repeats == expected


def test_a_warm_up_is_said_in_steps_and_as_a_part():
    assert with_warmup(TrainingRecipe(), 30, 900).known() == {"warmup_steps": 30, "warmup": 0.0333}
