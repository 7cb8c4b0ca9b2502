"""What to do about a knowledge file that no source reads: how to convert it, or which of its columns to name."""

from __future__ import annotations

from pathlib import Path

from kis_plugin.knowledge.sources.record_files import first_record, record_kind

__all__ = ["conversion"]

_SHOWN = 8  # keys
_NTRIPLES = "Convert it to N-Triples, for example with riot --output=ntriples of Apache Jena."
_TABLE = "Save it as CSV in UTF-8."
_TEXT = "Convert it to text or Markdown, for example with pandoc."
_PACKED = "Unpack it, or compress it with gzip, xz, bzip2 or zstd."
_BY_SUFFIX = {
    **dict.fromkeys((".ttl", ".n3", ".trig", ".nq", ".rdf", ".owl", ".jsonld", ".hdt"), _NTRIPLES),
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".feather", ".arrow", ".db", ".sqlite"), _TABLE),
    **dict.fromkeys((".docx", ".doc", ".odt", ".rtf", ".html", ".htm", ".epub", ".tex", ".rst", ".xml"), _TEXT),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z"), _PACKED),
}


def conversion(path: Path) -> str:
    """Return a sentence that says how to make the file readable; empty if nothing is known of its kind."""
    if path.is_file() and record_kind(path):
        record = first_record(path) or {}
        keys = [str(key) for key in record][:_SHOWN]
        if len(keys) < 3:
            return f"Its first record has the keys {', '.join(map(repr, keys))}." if keys else ""
        example = ", ".join(
            f"{part}: {key}" for part, key in zip(("subject", "relation", "object"), keys, strict=False)
        )
        shown = ", ".join(map(repr, keys))
        return f"Its first record has the keys {shown}. Facts can be mapped in kis.yaml: columns: {{{example}}}."
    return _BY_SUFFIX.get(path.suffix.lower(), "")
