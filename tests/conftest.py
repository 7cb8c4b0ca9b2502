from __future__ import annotations

import os

import pytest
from hypothesis import settings

# No deadline: a busy machine is no failure. Examples are drawn from a fixed seed, so that a change passes or fails by
# its own content; the nightly run looks for new ones.
settings.register_profile("kis", deadline=None, derandomize=True)
settings.register_profile("nightly", deadline=None, max_examples=1000)


def pytest_addoption(parser):
    parser.addoption("--nightly", action="store_true", help="the nightly tests too, which take very long")


def pytest_configure(config):
    settings.load_profile("nightly" if config.getoption("--nightly") else "kis")


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
