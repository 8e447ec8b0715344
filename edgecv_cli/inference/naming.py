"""How the files made from frames are called."""

from __future__ import annotations

from pathlib import Path

from edgecv_cli.inference.frames import Frame


class FileNames:
    """Names without clashes for files made from sources in different folders."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def pick(self, name: str) -> str:
        """Return ``name``, or ``stem_2.suffix``, ``stem_3.suffix``... where it is taken."""
        stem, suffix = Path(name).stem, Path(name).suffix
        candidate, number = name, 2
        while candidate.casefold() in self._taken:
            candidate, number = f"{stem}_{number}{suffix}", number + 1
        self._taken.add(candidate.casefold())
        return candidate


def frame_stem(frame: Frame) -> str:
    """Return a file stem for a frame: its source's, with the number for frames of videos."""
    stem = Path(frame.source).stem
    return stem if frame.video is None else f"{stem}_{frame.index:06d}"
