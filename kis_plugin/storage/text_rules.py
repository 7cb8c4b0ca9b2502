"""Rules for text: one line that every tokenizer and every terminal can take, and counted nouns."""

from __future__ import annotations

import re

__all__ = ["ONE_LINE", "is_one_line", "is_unicode", "many"]

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


def many(count: int, noun: str, verb: tuple[str, str] = ("", "")) -> str:
    """Return ``1 fact`` or ``2 facts``; with a verb in both forms, ``1 fact is`` or ``2 facts are``."""
    one = count == 1
    return f"{count:,} {noun}{'' if one else 's'} {verb[not one]}".rstrip()
