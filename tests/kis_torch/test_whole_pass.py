"""A pass that runs out of memory ends all the same: every layer that ranks gather together is reached, once."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

from kis_torch.model_view import TorchModelView
from tests.world.models import make_model

pytestmark = [  # FSDP 1 of one process says that it does not shard, and looks for gradients of whole parameters
    pytest.mark.filterwarnings("ignore:FSDP is switching to use `NO_SHARD`:UserWarning"),
    pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor that is not a leaf:UserWarning"),
]
IDS = torch.arange(1, 33).view(4, 8)
FULL = torch.OutOfMemoryError("CUDA out of memory.")


@pytest.fixture(scope="module", autouse=True)
def one_process():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def split(kind):
    model = make_model(layers=3)
    layers = list(model.model.layers)
    if kind == "fsdp1":
        policy = ModuleWrapPolicy({type(layers[0])})
        return model, FullyShardedDataParallel(
            model, device_id=torch.device("cpu"), use_orig_params=True, auto_wrap_policy=policy
        )
    mesh = init_device_mesh("cpu", (1,))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    return model, fully_shard(model, mesh=mesh)


def spoiled(module, rows=2, times=10**9):
    """Let a module fail where it is given as many rows; return how many rows it was called with."""
    seen = []

    def before(_, args, kwargs):
        given = next(one for one in (*args, *kwargs.values()) if torch.is_tensor(one))
        seen.append(len(given))
        if len(given) >= rows and len(seen) <= times:
            raise FULL

    return seen, module.register_forward_pre_hook(before, with_kwargs=True)


@pytest.mark.parametrize("kind", ["fsdp1", "fsdp2"])
@pytest.mark.parametrize("place", ["layer", "attention", "embedding", "head", "layer, every row"])
def test_every_layer_is_reached_and_the_next_pass_is_right(kind, place):
    whole, model = split(kind)
    view = TorchModelView(model)
    inner = {
        "layer": lambda: whole.model.layers[1],
        "layer, every row": lambda: whole.model.layers[1],
        "attention": lambda: whole.model.layers[1].self_attn,
        "embedding": lambda: whole.model.embed_tokens,
        "head": lambda: whole.lm_head,
    }[place]()
    last, _ = spoiled(whole.model.layers[2], rows=10**9)
    with view.evaluating():
        expected = view.logits(IDS)
        last.clear()
        seen, handle = spoiled(inner, rows=1 if "every" in place else 2)
        with pytest.raises(torch.OutOfMemoryError):
            view.logits(IDS)
        if "every" in place:  # no single row fits: nothing helps, and the run ends
            assert not last
            return
        assert last == [4]  # the layer after the one that failed, once, with all rows
        assert seen == [4, 1]
        torch.testing.assert_close(view.logits(IDS[:1]), expected[:1])
        handle.remove()
        torch.testing.assert_close(view.logits(IDS), expected)
    assert not any("_call_impl" in module.__dict__ for module in model.modules())


def test_a_pass_that_fails_before_the_first_layer_is_run_with_one_row():
    whole, model = split("fsdp2")
    given = []

    def logits(ids):
        given.append(len(ids))
        if len(ids) > 1:
            raise FULL
        return model(input_ids=ids, use_cache=False).logits

    view = TorchModelView(model, logits)
    last, _ = spoiled(whole.model.layers[2], rows=10**9)
    with view.evaluating(), pytest.raises(torch.OutOfMemoryError):
        view.logits(IDS)
    assert given == [4, 1]
    assert last == [1]


def test_other_errors_pass_through():
    whole, model = split("fsdp2")
    view = TorchModelView(model)

    def before(*_):
        raise RuntimeError("something else")

    whole.model.layers[1].register_forward_pre_hook(before)
    with view.evaluating(), pytest.raises(RuntimeError, match="something else"):
        view.logits(IDS)
