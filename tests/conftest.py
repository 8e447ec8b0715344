"""Settings of every test: property tests draw the same cases each time, and have no deadline."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import settings

settings.register_profile("edgecv", deadline=None, derandomize=True)
settings.load_profile("edgecv")


@pytest.fixture(autouse=True, scope="session")
def _no_cache_of_the_user():
    """Keep the user's own cache out of the tests, and the tests out of it."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = folder
        yield
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before
