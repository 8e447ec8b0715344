"""Containers and processor masks count; what the system won't say is absent."""

import os

import pytest

from edgecv_cli.core.machine_limits import memory_bytes, usable_cores


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**20}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)


def put(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1)],
)
def test_a_containers_quota_limits_the_cores(tmp_path, machine, quota, cores):
    assert usable_cores(put(tmp_path, cpu_DOT_max=quota)) == cores


def test_the_older_control_groups_count_too(tmp_path, machine):
    root = put(
        tmp_path,
        cpu__cpu_DOT_cfs_quota_us="300000",
        cpu__cpu_DOT_cfs_period_us="100000",
        memory__memory_DOT_limit_in_bytes="1000000",
    )
    assert (usable_cores(root), memory_bytes(root)) == (3, 1_000_000)


def test_without_control_groups_the_machine_counts(tmp_path, machine):
    assert (usable_cores(tmp_path), memory_bytes(tmp_path)) == (8, 2**32)


def test_no_limit_is_no_limit(tmp_path, machine):
    root = put(
        tmp_path,
        memory_DOT_max="max",
        cpu__cpu_DOT_cfs_quota_us="-1",
        cpu__cpu_DOT_cfs_period_us="100000",
        memory__memory_DOT_limit_in_bytes=str(2**63 - 4096),
    )
    assert (usable_cores(root), memory_bytes(root)) == (8, 2**32)


def test_a_system_without_masks_counts_its_processors(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores(tmp_path) == 1


def test_a_system_that_tells_no_memory_has_none(tmp_path, monkeypatch):
    def refuse(name):
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", refuse)
    assert memory_bytes(tmp_path) is None


def test_this_machine_has_something():
    assert usable_cores() >= 1
    assert memory_bytes() is None or memory_bytes() > 2**20
