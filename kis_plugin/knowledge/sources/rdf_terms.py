"""Terms of RDF as N-Triples and SPARQL results in TSV write them: addresses, literals and blank nodes."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

__all__ = ["Term", "local_name", "parse_term", "relation_name"]

_TERM = re.compile(
    r"""\s*(?:<(?P<uri>[^<>\s]*)>
    |"(?P<text>(?:[^"\\\n]|\\.)*)"(?:@(?P<language>[A-Za-z]+(?:-[A-Za-z0-9]+)*)|\^\^(?:<[^<>\s]*>|[\w:.-]+))?
    |(?P<blank>_:[\w.-]+)
    |(?P<bare>[+-]?[0-9][^\s]*|true|false))""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_LETTERS = {"t": "\t", "n": "\n", "r": "\r", "b": "\b", "f": "\f"}
_PROPERTY = re.compile(r"https?://www\.wikidata\.org/(?:entity|prop(?:/[\w-]+)*)/(P[0-9]+)")


class Term(NamedTuple):
    """One term.

    Attributes:
        kind: ``uri``, ``literal`` or ``blank``.
        value: The address, the text without quotes and escapes, or the node's name.
        language: Language tag of a literal; empty if it has none.
    """

    kind: str
    value: str
    language: str = ""


def parse_term(text: str, start: int = 0) -> tuple[Term, int] | None:
    """Return the term at ``start`` and where it ends; None if there is none."""
    match = _TERM.match(text, start)
    if match is None:
        return None
    if match["uri"] is not None:
        return Term("uri", _plain(match["uri"])), match.end()
    if match["text"] is not None:
        return Term("literal", _plain(match["text"]), (match["language"] or "").lower()), match.end()
    return Term("blank" if match["blank"] else "literal", match["blank"] or match["bare"]), match.end()


def relation_name(uri: str) -> str:
    """Return ``P36`` of an address such as ``http://www.wikidata.org/prop/direct/P36``; other text unchanged."""
    match = _PROPERTY.fullmatch(uri) if uri.startswith("http") else None
    return match[1] if match else uri


def local_name(uri: str) -> str:
    """Return the last part of an address as text: ``New York`` of ``http://dbpedia.org/resource/New_York``."""
    return unquote(re.split(r"[/#]", uri.rstrip("/#"))[-1]).replace("_", " ").strip() or uri


def _plain(text: str) -> str:
    """Undo the escapes of N-Triples."""
    if "\\" not in text:
        return text

    def letter(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        if code is None:
            return _LETTERS.get(match[3], match[3])
        number = int(code, 16)
        return chr(number) if number <= 0x10FFFF else "\ufffd"

    return _ESCAPE.sub(letter, text)
