"""Facts from N-Triples files, named by the labels that the file itself has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kis_plugin.knowledge.facts import Fact
from kis_plugin.knowledge.sources.fact_file import FactFileSource
from kis_plugin.knowledge.sources.fact_records import FactRecords
from kis_plugin.knowledge.sources.rdf_terms import Term, local_name, parse_term, relation_name
from kis_plugin.knowledge.sources.text_files import Problems, kind_of, lines, quoted

__all__ = ["NTriplesSource"]

_LABELS = frozenset({
    "http://www.w3.org/2000/01/rdf-schema#label",
    "http://schema.org/name",
    "http://www.w3.org/2004/02/skos/core#prefLabel",
})  # fmt: skip
_ABOUT_NAMES = _LABELS | {
    "http://schema.org/description",
    "http://www.w3.org/2004/02/skos/core#altLabel",
    "http://www.w3.org/2000/01/rdf-schema#comment",
}
_LANGUAGES = ("en", "")  # of names and literals, the preferred one first


class NTriplesSource(FactFileSource):
    """N-Triples (.nt): facts of the file's triples, with the English labels it has; also .gz and .xz."""

    name = "ntriples"
    version = ""
    nothing = ("no facts", "triples with names or literals in English or without a language")

    def claims(self, path: Path) -> bool:
        """Return whether this is a file of N-Triples."""
        return kind_of(path) == ".nt" and path.is_file()

    def entries(self, path: Path, problems: Problems, prefix: str = "") -> Iterator[tuple[int, Fact]]:
        """Yield each fact with its line. Labels, descriptions and literals in other languages are no facts.

        The labels of the whole file stay in memory.
        """
        labels = _labels(path)
        read = FactRecords(path, problems, prefix=prefix).facts
        for line, (subject, relation, obj) in _triples(path, problems):
            if relation.value in _ABOUT_NAMES or not _language_rank(obj):
                continue
            record = {
                "subject": _name(subject, labels),
                "relation": _relation(relation, labels),
                "object": _name(obj, labels),
            }
            for fact in read(line, record):
                yield line, fact


def _labels(path: Path) -> dict[str, str]:
    """Return the names of addresses, the preferred language first; problems are reported by the second reading."""
    found: dict[str, tuple[int, str]] = {}
    for _, (subject, relation, obj) in _triples(path, Problems(path)):
        rank = _language_rank(obj) if relation.value in _LABELS and obj.kind == "literal" else 0
        if rank > found.get(subject.value, (0, ""))[0]:
            found[subject.value] = (rank, obj.value)
    return {uri: label for uri, (_, label) in found.items()}


def _triples(path: Path, problems: Problems) -> Iterator[tuple[int, tuple[Term, Term, Term]]]:
    for number, line in lines(path, problems):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        terms: list[Term] = []
        at = 0
        while len(terms) < 3 and (parsed := parse_term(line, at)):
            term, at = parsed
            terms.append(term)
        rest = line[at:].strip()
        whole = len(terms) == 3 and terms[1].kind == "uri" and terms[0].kind != "literal"
        if not whole or not rest.startswith(".") or (rest[1:].strip() and not rest[1:].strip().startswith("#")):
            problems.add(f"{path}:{number}", quoted(line.strip()), "<subject> <relation> object and a full stop")
            continue
        yield number, (terms[0], terms[1], terms[2])


def _language_rank(term: Term) -> int:
    """Return how much the language of a term is preferred, 0 for one that is skipped; addresses have none."""
    base = term.language.partition("-")[0]
    return len(_LANGUAGES) - _LANGUAGES.index(base) if base in _LANGUAGES else 0


def _name(term: Term, labels: dict[str, str]) -> str:
    if term.kind == "literal":
        return term.value
    return labels.get(term.value) or (local_name(term.value) if term.kind == "uri" else term.value)


def _relation(term: Term, labels: dict[str, str]) -> str:
    name = relation_name(term.value)
    return name if name != term.value else labels.get(term.value) or local_name(term.value)
