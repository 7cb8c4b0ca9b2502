"""Rules for text in sentences: one line that every tokenizer and every terminal can take."""

from __future__ import annotations

import re

__all__ = ["ONE_LINE", "is_one_line", "is_unicode"]

ONE_LINE = "text in one line, without control characters"

# C0 and C1 controls, line and paragraph separators, and lone surrogates, which cannot be written as UTF-8.
_NOT_ALLOWED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def is_one_line(text: str) -> bool:
    """Return whether ``text`` is one line without control characters or lone surrogates."""
    return _NOT_ALLOWED.search(text) is None


def is_unicode(text: str) -> bool:
    """Return whether ``text`` can be encoded as UTF-8, that is, has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
