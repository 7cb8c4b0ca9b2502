"""Shows control characters as text, so that a name in a file cannot command the terminal that prints it."""

from __future__ import annotations

import re
import sys

__all__ = ["escaped", "to_stderr"]

# C0 and C1 controls (escape sequences begin with one), characters that change the direction of text, separators that
# end a line, and lone surrogates, which no terminal can print.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)


def escaped(text: str, keep: str = "") -> str:
    r"""Return text with control, escape and bidirectional characters as ``\x1b`` and ``\u202e``.

    Args:
        text: Any text.
        keep: Characters to leave as they are, such as new lines of a message of several lines.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(lambda match: match[0] if match[0] in keep else _name(match[0]), text)


def to_stderr(line: str, keep: str = "") -> None:
    """Show the user a line on stderr; arguments are those of ``escaped``."""
    sys.stderr.write(escaped(line, keep) + "\n")


def _name(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode() if ord(letter) > 0x7F else repr(letter)[1:-1]
