from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("kis", deadline=None)  # a machine that others use too is no failure
settings.load_profile("kis")


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
