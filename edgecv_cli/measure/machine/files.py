"""Reading what the kernel shows in ``/proc`` and ``/sys``; what it does not show is absent."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

_MOST_BYTES = 1 << 20
_PAGE = 4096
_DIGITS = re.compile(r"(\d+)")


def text(path: str | Path) -> str:
    """Return a file's first MiB without the white space around it; empty if it can't be read."""
    return _read(path, _MOST_BYTES)


def word(path: str | Path) -> str:
    """Return what an attribute of ``/sys`` holds: no more than a page, given in one piece."""
    return _read(path, 0)


def number(path: str | Path) -> int | None:
    """Return the whole number that a file holds, or None."""
    return whole(word(path))


def whole(word: str) -> int | None:
    """Return a word as a whole number, or None if it is none, or longer than 64 bits make it."""
    return int(word) if len(word) <= 20 and word.removeprefix("-").isdecimal() else None


def numbers(paths: Iterable[str]) -> list[int]:
    """Return the numbers of those files that hold one."""
    return [found for path in paths if (found := number(path)) is not None]


def fields(path: str | Path) -> dict[str, int]:
    """Return the lines ``name number`` of a file such as ``/proc/vmstat``."""
    lines = (line.split() for line in text(path).splitlines())
    pairs = ((words[0], whole(words[1])) for words in lines if len(words) == 2)
    return {name: value for name, value in pairs if value is not None}


def matching(folder: Path, pattern: str) -> list[Path]:
    """Return what is in a folder under that pattern, in the order of the numbers in the names."""
    try:
        return sorted(folder.glob(pattern), key=_natural)
    except OSError:
        return []


def spread(items: list[str], most: int) -> list[str]:
    """Return at most ``most`` of the items, evenly over all of them."""
    step = -(-len(items) // most) if items else 1
    return items[::step]


def _natural(path: Path) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(path.name)
    ]


def _read(path: str | Path, most: int) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        read = piece = os.read(descriptor, _PAGE)
        while piece and len(read) < most:  # /proc gives a page at a time
            piece = os.read(descriptor, _PAGE)
            read += piece
    except OSError:
        return ""  # a sensor that sleeps, or is gone since
    finally:
        os.close(descriptor)
    return read.decode(errors="replace").strip()
