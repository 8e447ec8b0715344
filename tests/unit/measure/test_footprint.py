"""Peak memory of this process."""

from __future__ import annotations

import numpy as np
import pytest

from edgecv_cli.measure import footprint

MIB = 1024 * 1024


def test_the_peak_remembers_what_was_freed_until_it_is_reset():
    if not footprint.reset_peak_rss():
        pytest.skip("this kernel does not reset the peak")
    before = footprint.peak_rss_bytes()
    filled = np.ones(64 * MIB, np.uint8)
    del filled

    assert footprint.peak_rss_bytes() >= before + 60 * MIB
    footprint.reset_peak_rss()
    assert footprint.peak_rss_bytes() < before + 60 * MIB


def test_without_proc_the_peak_comes_from_getrusage(tmp_path, monkeypatch):
    monkeypatch.setattr(footprint, "_STATUS", tmp_path / "absent")
    monkeypatch.setattr(footprint, "_CLEAR", tmp_path / "none" / "absent")

    assert footprint.peak_rss_bytes() > MIB
    assert footprint.current_rss_bytes() is None
    assert not footprint.reset_peak_rss()
