"""What this process may really use, inside a container or a processor mask too.

Sources: Linux ``Documentation/admin-guide/cgroup-v2.rst`` (cpu.max, memory.max) and
``cgroup-v1`` (cpu.cfs_quota_us, memory.limit_in_bytes).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED_BYTES = 2**60  # cgroup v1 says "no limit" with a number near 2**63


def usable_cores(cgroup: Path = _CGROUP) -> int:
    """Return how many logical cores this process may use, at least 1.

    The smallest of the processor mask and the container's quota, the latter rounded up.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    for quota, period in _cpu_quotas(cgroup):
        if quota > 0 and period > 0:
            cores = min(cores, math.ceil(quota / period))
    return max(cores, 1)


def memory_bytes(cgroup: Path = _CGROUP) -> int | None:
    """Return the memory this process may use in bytes, or None where the system won't say.

    The smallest of the machine's memory and the container's limit.
    """
    sizes = []
    with suppress(ValueError, OSError):
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        sizes += [size for size in _numbers(cgroup / name) if 0 < size < _UNLIMITED_BYTES]
    return min(sizes, default=None)


def _cpu_quotas(cgroup: Path) -> Iterator[tuple[int, int]]:
    version_2 = _numbers(cgroup / "cpu.max")
    if len(version_2) == 2:
        yield version_2[0], version_2[1]
    quota = _numbers(cgroup / "cpu" / "cpu.cfs_quota_us")
    period = _numbers(cgroup / "cpu" / "cpu.cfs_period_us")
    if quota and period:
        yield quota[0], period[0]


def _numbers(path: Path) -> list[int]:
    """Return the integers in a file; none if it is absent or holds a word such as ``max``."""
    try:
        words = path.read_text().split()
    except OSError:
        return []
    return [int(word) for word in words if word.lstrip("-").isdigit()]
