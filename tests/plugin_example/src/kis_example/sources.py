"""Facts from .ini files: a section a subject, a line ``relation = object`` each."""

import configparser
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.facts import Fact, Knowledge


class IniSource:
    """.ini with a section for each subject and a line "relation = object" for each fact."""

    name = "ini"

    def claims(self, path: Path) -> bool:
        return path.suffix == ".ini"

    def read(self, path: Path) -> Knowledge:
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str  # relations keep their case
        try:
            parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
        except (configparser.Error, UnicodeDecodeError) as error:
            raise KISError(Problem(str(path), str(error).splitlines()[0], "a file of sections")) from error
        facts = [
            Fact(subject, relation, obj, id=f"{subject}/{relation}")
            for subject in parser.sections()
            for relation, obj in parser[subject].items()
        ]
        if not facts:
            raise KISError(Problem(str(path), "no facts", "a line relation = object in a section"))
        return Knowledge(facts=tuple(facts))
