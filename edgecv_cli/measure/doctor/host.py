"""Cores, memory and disks: what is there, and what this process may use of it.

Sources: ``proc_meminfo(5)``, ``core/machine_limits.py`` for containers.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import Field

from edgecv_cli.core.machine_limits import memory_bytes, usable_cores
from edgecv_cli.core.result import Part
from edgecv_cli.core.store import cache_home


class Disk(Part):
    """A folder that edgecv writes to."""

    purpose: str = Field(description="temporary, cache or working: what it is written for.")
    path: str
    writable: bool
    free_bytes: int | None = None


class Host(Part):
    """What the machine has, beside what this process may use."""

    cores_present: int | None = Field(None, description="Logical cores of the machine.")
    cores_usable: int = Field(description="Those that masks and container quotas leave.")
    memory_present_bytes: int | None = None
    memory_usable_bytes: int | None = Field(None, description="What a container's limit leaves.")
    memory_available_bytes: int | None = Field(None, description="Free, or free for the asking.")
    swap_bytes: int | None = Field(None, description="0: the machine has none.")
    swap_free_bytes: int | None = None
    disks: tuple[Disk, ...] = ()


def host(folders: Mapping[str, Path], root: Path = Path("/")) -> Host:
    """Look at cores, memory and the folders named by purpose; ``root`` holds proc and sys."""
    cgroup, memory = root / "sys/fs/cgroup", _meminfo(root / "proc/meminfo")
    return Host(
        cores_present=os.cpu_count(),
        cores_usable=usable_cores(cgroup),
        memory_present_bytes=memory.get("MemTotal"),
        memory_usable_bytes=memory_bytes(cgroup),
        memory_available_bytes=memory.get("MemAvailable"),
        swap_bytes=memory.get("SwapTotal"),
        swap_free_bytes=memory.get("SwapFree"),
        disks=tuple(disk(purpose, folder) for purpose, folder in folders.items()),
    )


def folders() -> dict[str, Path]:
    """Return the folders that edgecv writes to, by purpose."""
    found = {"working": Path.cwd()}
    with suppress(RuntimeError):  # a user without a home
        found["cache"] = cache_home()
    with suppress(FileNotFoundError):  # Python's way to say that no folder can be written to
        found["temporary"] = Path(tempfile.gettempdir())
    return found


def disk(purpose: str, folder: Path) -> Disk:
    """Look at a folder, or at the nearest one above it that is there."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = None
    with suppress(OSError):
        free = shutil.disk_usage(there).free
    return Disk(
        purpose=purpose,
        path=str(folder),
        writable=there.is_dir() and os.access(there, os.W_OK | os.X_OK),
        free_bytes=free,
    )


def _meminfo(path: Path) -> dict[str, int]:
    """Return the kernel's counters in bytes; it writes them in units of 1024 bytes."""
    sizes = {}
    with suppress(OSError):
        for line in path.read_text().splitlines():
            name, _, value = line.partition(":")
            words = value.split()
            if words and words[0].isdigit():
                sizes[name] = int(words[0]) * 1024
    return sizes
