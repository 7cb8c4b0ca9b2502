"""Infused data sets for frameworks without an adapter: written ahead of a run, and audited as a host reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kis_plugin.lazy_names import lazy_names

if TYPE_CHECKING:
    from kis_write.audit import AuditReport, audit_rows
    from kis_write.protocols import Format
    from kis_write.request import WriteRequest
    from kis_write.write import write_dataset

__all__ = ["AuditReport", "Format", "WriteRequest", "audit_rows", "write_dataset"]

_NAMES = {
    ".audit": ("AuditReport", "audit_rows"),
    ".protocols": ("Format",),
    ".request": ("WriteRequest",),
    ".write": ("write_dataset",),
}
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
