"""Domains of fictional facts: their attributes, the objects of each and the sentences that state them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from math import lgamma, log
from typing import Any

import yaml

from kis_plugin.hashing import IntArray, permutation
from kis_plugin.synthetic.catalog import DOMAINS

__all__ = ["Attribute", "Domain", "read_domain"]

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS = 28  # those that every month has


@dataclass(frozen=True)
class Attribute:
    """A relation of a domain.

    Attributes:
        relation: Its name in the facts.
        objects: What it may be; each with the same probability.
        templates: Its entry in the template file: label, domain, statements, questions, reversed.
    """

    relation: str
    objects: Sequence[str]
    templates: dict[str, Any]

    def assigned(self, count: int, seed: int, number: int) -> IntArray:
        """Return the object of each entity: (count,), indices of ``objects``.

        Every assignment in which the frequencies of any two objects differ by at most one is equally likely, and
        attributes are independent of each other. Knowing how often each object occurs therefore is of no use, and
        neither does another attribute.

        Args:
            count: Entities.
            seed: Chooses the assignment.
            number: Number of the attribute in its domain.
        """
        options = len(self.objects)
        # Which objects occur once more than the others, where count is no multiple of options, is drawn too.
        return permutation(options, seed, number, 1)[permutation(count, seed, number, 2) % options]

    def bits(self, count: int) -> float:
        """Return the information of one fact in bits.

        It is log2 of the number of equally likely assignments (``assigned``), over the number of entities: with k
        options, n entities, q = n // k and r = n % k, that is C(k, r) n! / (q!^(k - r) (q + 1)!^r). It approaches
        log2(k) as n grows.

        Args:
            count: Entities, n.
        """
        options = len(self.objects)
        low, more = divmod(count, options)
        choice = _log_factorial(options) - _log_factorial(more) - _log_factorial(options - more)
        ways = _log_factorial(count) - (options - more) * _log_factorial(low) - more * _log_factorial(low + 1)
        return (choice + ways) / log(2) / count


@dataclass(frozen=True)
class Domain:
    """A kind of fictional entity.

    Attributes:
        name: As ``kis synth`` takes it.
        between: What stands between the two invented words of a name.
        attributes: Its relations.
    """

    name: str
    between: str
    attributes: tuple[Attribute, ...]

    def bits(self, count: int) -> float:
        """Return the information of all facts about ``count`` entities, in bits."""
        return count * sum(attribute.bits(count) for attribute in self.attributes)


def read_domain(name: str) -> Domain:
    """Return one of ``DOMAINS``."""
    text = (resources.files("kis_plugin") / "data" / "synthetic" / f"{name}.yaml").read_text(encoding="utf-8")
    entries: dict[str, dict[str, Any]] = yaml.safe_load(text)
    attributes = [Attribute(relation, _objects(entry.pop("objects")), entry) for relation, entry in entries.items()]
    return Domain(name, DOMAINS[name], tuple(attributes))


def _objects(written: Any) -> Sequence[str]:
    """Return the objects of an attribute: listed, or all dates or years between two years, both included."""
    if isinstance(written, list):
        return [str(name) for name in written]
    ((kind, (first, last)),) = written.items()
    return list({"dates": _dates, "years": _years}[kind](first, last))


def _dates(first: int, last: int) -> Iterable[str]:
    for year in range(first, last + 1):
        for month in _MONTHS:
            yield from (f"{day} {month} {year}" for day in range(1, _DAYS + 1))


def _years(first: int, last: int) -> Iterable[str]:
    return map(str, range(first, last + 1))


def _log_factorial(number: int) -> float:
    return lgamma(number + 1)
