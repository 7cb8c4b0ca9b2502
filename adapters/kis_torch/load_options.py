"""Device and dtype of a saved model, from the options of a command."""

from __future__ import annotations

import torch

from kis_plugin.errors import KISError, Problem

__all__ = ["device_of", "dtype_of"]


def device_of(given: str | None) -> str:
    """Return the requested device; by default a GPU if there is one.

    Raises:
        KISError: This machine has no such device.
    """
    device = given or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        found = f"{device}: {(str(error).splitlines() or [''])[0]}"
        raise KISError(Problem("--device", found, "a device of this machine, such as cpu or cuda")) from error
    return device


def dtype_of(given: str) -> torch.dtype | None:
    """Return the dtype of a name; None for ``auto``, the one that the weights were saved in.

    Raises:
        KISError: No such dtype.
    """
    dtype = None if given == "auto" else getattr(torch, given, given)
    if not isinstance(dtype, (torch.dtype, type(None))):
        raise KISError(Problem("--dtype", repr(given), "auto, float32, bfloat16 or float16"))
    return dtype
