"""Text of PDF files, by the library pypdf."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.sources.text_files import Problems

__all__ = ["pdf_text"]


def pdf_text(path: Path, problems: Problems) -> str:
    """Return the text of a PDF file, pages separated by empty lines; empty with a problem if there is none.

    Raises:
        KISError: pypdf is not installed.
    """
    try:
        import pypdf
    except ImportError as error:
        hint = "Install it with pip install 'kis-plugin[pdf]'."
        raise KISError(Problem(str(path), "no package pypdf", "one to read PDF files with", hint)) from error
    try:
        reader: Any = pypdf.PdfReader(path)
        pages = [page.extract_text().strip() for page in reader.pages]
    except Exception as error:  # noqa: BLE001 (a damaged file makes pypdf raise errors of every kind)
        problems.add(str(path), f"a PDF file that cannot be read ({str(error) or type(error).__name__})", "a PDF file")
        return ""
    text = "\n\n".join(filter(None, pages))
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if not text:
        problems.add(str(path), "a PDF file without text", "text, not pictures of pages", "Run OCR on it first.")
    return text
