"""Forward passes that no rank leaves in the middle, also where memory does not suffice on one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from kis_plugin.retention.scoring.forward_passes import is_out_of_memory
from kis_torch.parameters import fsdp_units

__all__ = ["WholePass"]


class WholePass:
    """Runs a model whose layers FSDP gathers from all ranks.

    A rank that runs out of memory inside a layer would leave the pass while the others wait for it in the next layer.
    Here it runs that layer again with the first row of the batch alone, repeats that row in the result without taking
    memory, and goes on. The error is raised when the pass has ended on every rank.

    Args:
        model: The outermost module. One without layers of FSDP is run as it is.
    """

    def __init__(self, model: nn.Module) -> None:
        self._gathered = fsdp_units(model)
        inside = {part for unit in self._gathered for part in unit.modules()}
        apart = (module for module in model.modules() if not module._modules and module not in inside)
        self._guarded = [*self._gathered, *apart] if self._gathered else []
        self._reached = False  # a gathered layer
        self._failure: RuntimeError | None = None

    def run(self, call: Callable[..., torch.Tensor], *batch: torch.Tensor) -> torch.Tensor:
        """Return ``call(*batch)``, where ``call`` runs the model once.

        Args:
            call: Takes the tensors.
            batch: Each (B, ...).

        Raises:
            torch.OutOfMemoryError: Memory did not suffice, somewhere in the pass, which has ended.
        """
        if not self._gathered:
            return call(*batch)
        self._reached, self._failure = False, None
        with self._guards():
            try:
                result = call(*batch)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._failure = error.with_traceback(None)  # which holds the tensors of the pass
            if self._failure is not None and not self._reached:  # nothing was gathered yet: the others wait at once
                failure, self._failure = self._failure, None
                call(*(one[:1] for one in batch))
                self._failure = failure
        if self._failure is not None:
            raise self._failure
        return result

    @contextmanager
    def _guards(self) -> Iterator[None]:
        # Where a module is called through: what was compiled in place, or its hooks and forward.
        names = ["_call_impl" if one._compiled_call_impl is None else "_compiled_call_impl" for one in self._guarded]
        own = [one.__dict__.get(name) for one, name in zip(self._guarded, names, strict=True)]
        for number, (module, name) in enumerate(zip(self._guarded, names, strict=True)):
            gathers = number < len(self._gathered)
            module.__dict__[name] = partial(self._guard, getattr(module, name), gathers)
        try:
            yield
        finally:
            for module, name, before in zip(self._guarded, names, own, strict=True):
                if before is None:
                    del module.__dict__[name]
                else:
                    module.__dict__[name] = before

    def _guard(self, call: Callable[..., Any], gathers: bool, *args: Any, **kwargs: Any) -> Any:
        self._reached |= gathers
        try:
            return call(*args, **kwargs)
        except RuntimeError as error:
            rows = next((len(one) for one in tree_leaves((args, kwargs)) if torch.is_tensor(one) and one.ndim), 0)
            if not is_out_of_memory(error) or rows < 2:
                raise
            self._failure = error.with_traceback(None)
        args, kwargs = tree_map(partial(_first_row, rows=rows), (args, kwargs))
        # Parameters that were gathered are still there: FSDP does not gather them again.
        return tree_map(partial(_as_many_rows, rows=rows), call(*args, **kwargs))


def _first_row(given: Any, rows: int) -> Any:
    return given[:1] if torch.is_tensor(given) and given.ndim and len(given) == rows else given


def _as_many_rows(given: Any, rows: int) -> Any:
    return given.expand(rows, *given.shape[1:]) if torch.is_tensor(given) and given.ndim and len(given) == 1 else given
