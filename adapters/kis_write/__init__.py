"""Infused data sets for frameworks without an adapter: written ahead of a run, and audited as a host reads them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kis_write.audit import AuditReport, audit_rows
    from kis_write.protocols import Format
    from kis_write.request import WriteRequest
    from kis_write.write import write_dataset

__all__ = ["AuditReport", "Format", "WriteRequest", "audit_rows", "write_dataset"]

_HOMES = {
    "AuditReport": "audit",
    "Format": "protocols",
    "WriteRequest": "request",
    "audit_rows": "audit",
    "write_dataset": "write",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
