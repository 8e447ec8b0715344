"""Settings of every test: property tests draw the same cases each time, and have no deadline."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("edgecv", deadline=None, derandomize=True)
settings.load_profile("edgecv")
