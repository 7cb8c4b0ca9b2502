from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("kis", deadline=None)  # a machine that others use too is no failure
settings.load_profile("kis")


def pytest_addoption(parser):
    parser.addoption("--nightly", action="store_true", help="the nightly tests too, which take very long")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--nightly"):
        for item in items:
            if item.get_closest_marker("nightly"):
                item.add_marker(pytest.mark.skip(reason="nightly: pytest --nightly"))


@pytest.fixture(scope="session", autouse=True)
def no_cache_of_the_users_own(tmp_path_factory):
    """Keep prepared knowledge of tests, and of the processes they start, out of the home folder."""
    before = os.environ.get("KIS_CACHE")
    os.environ["KIS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["KIS_CACHE"]
    else:
        os.environ["KIS_CACHE"] = before
