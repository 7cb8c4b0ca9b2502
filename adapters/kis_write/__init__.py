"""Infused data sets for frameworks without an adapter: write one ahead of a run, and audit what a host reads.

Public names: ``write_dataset``, ``WriteRequest``, ``audit_rows``, ``Manifest``, ``read_manifest``.
"""

from __future__ import annotations

from kis_write.audit import AuditReport, audit_rows
from kis_plugin.run.manifest import Manifest, read_manifest
from kis_write.request import WriteRequest
from kis_write.write import write_dataset

__all__ = ["AuditReport", "Manifest", "WriteRequest", "audit_rows", "read_manifest", "write_dataset"]
