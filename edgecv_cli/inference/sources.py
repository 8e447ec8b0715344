"""From what the user names (images, folders, patterns, videos) to frames."""

from __future__ import annotations

import difflib
import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.core.errors import DataError
from edgecv_cli.inference.frames import Frame
from edgecv_cli.media.images import read_image
from edgecv_cli.media.listing import IMAGE_SUFFIXES, list_files
from edgecv_cli.media.video import (
    ASSUMED_RATE,
    VIDEO_SUFFIXES,
    VideoInfo,
    VideoReader,
    is_video,
)

_NUMBER = re.compile(r"%(?:0?(\d))?d")
_FEWEST = 0.9  # containers estimate their frame count; more than a tenth short is a broken file


@dataclass(frozen=True)
class Skipped:
    """A source that gave no frames, or fewer than it promised.

    Attributes:
        source: the file.
        problem: what is wrong with it.
    """

    source: str
    problem: str


@dataclass(frozen=True)
class _Entry:
    """A file; or the pictures that one name with a number stands for, which are a video."""

    path: Path
    is_video: bool
    pictures: tuple[Path, ...] = ()


class FrameSource:
    """Frames of a list of files, in order; iterate once.

    What can't be decoded is left out and stands in :attr:`skipped`, unless nothing at all can
    be decoded.

    Attributes:
        paths: the files, in the order they are read.
        skipped: grows while frames are read.
    """

    def __init__(
        self, entries: Sequence[_Entry], limit: int | None = None, rate: float = ASSUMED_RATE
    ) -> None:
        self._entries = tuple(entries)
        self._limit, self._rate = limit, rate
        self.skipped: list[Skipped] = []

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in the order they are read."""
        return tuple(path for entry in self._entries for path in (entry.pictures or (entry.path,)))

    @property
    def has_images(self) -> bool:
        """Whether still images are among the files."""
        return any(not entry.is_video for entry in self._entries)

    @property
    def has_videos(self) -> bool:
        """Whether videos are among the files."""
        return any(entry.is_video for entry in self._entries)

    @property
    def total(self) -> int | None:
        """How many frames to expect at most; None with videos, which only estimate it."""
        if self.has_videos:
            return self._limit
        return min(len(self._entries), self._limit or len(self._entries))

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames.

        Raises:
            DataError: not one of the files could be decoded.
        """
        given = 0
        for entry in self._entries:
            try:
                for frame in _read(entry, self.skipped, self._rate):
                    given += 1
                    yield frame
                    if given == self._limit:
                        return
            except DataError as error:
                self.skipped.append(Skipped(str(entry.path), error.problem))
        if given == 0 and self.skipped:
            raise _nothing_decodable(self.skipped)


def open_sources(
    args: Sequence[str], *, limit: int | None = None, rate: float = ASSUMED_RATE
) -> FrameSource:
    """Find the files that the arguments name.

    Args:
        args: image or video files, folders (their images and videos, by name), or patterns
            with ``*``, ``?``, ``[...]`` and ``**`` for any depth; or a name with ``%d`` or
            ``%05d``, whose pictures are a video.
        rate: frames a second of such a video.
        limit: stop after this many frames; None gives all.

    Raises:
        DataError: an argument names nothing, or nothing that can be read.
    """
    if not args:
        raise DataError("no source is named", remedy="name an image, a folder or a video")
    entries: dict[str, _Entry] = {}
    for arg in args:
        for entry in _expand(arg):
            entries.setdefault(os.path.realpath(entry.path), entry)
    return FrameSource(tuple(entries.values()), limit, rate)


def _expand(arg: str) -> list[_Entry]:
    path = Path(arg)
    if path.is_dir():
        return _known(list_files(path)) or _refuse(
            f"folder {arg} holds no images or videos", "name a folder that does"
        )
    if path.exists():
        return [_Entry(path, _holds_video(path))]
    if glob.has_magic(arg):
        # Path.glob has no absolute patterns and follows no hidden-file rule.
        names = sorted(glob.glob(arg, recursive=True))  # noqa: PTH207
        found = [Path(name) for name in names]
        return _known(path for path in found if path.is_file()) or _refuse(
            f"the pattern {arg!r} matches no image or video",
            "check it with ls; ** crosses folders, and quotes keep the shell from expanding it",
        )
    if _NUMBER.search(path.name):
        return [_sequence(path)]
    return _refuse(f"{arg} does not exist", _nearest(path))


def _sequence(path: Path) -> _Entry:
    """Return the pictures of a name with one number, by that number."""
    parts = _NUMBER.split(path.name)
    if len(parts) != 3:
        raise DataError(
            f"{path} has several numbers", remedy="leave one %d, such as frames/%05d.jpg"
        )
    before, digits, after = parts
    number = rf"\d{{{digits},}}" if digits else r"\d+"
    wanted = re.compile(rf"{re.escape(before)}({number}){re.escape(after)}")
    there = list_files(path.parent) if path.parent.is_dir() else []
    found = {int(match.group(1)): one for one in there if (match := wanted.fullmatch(one.name))}
    if not found:
        raise DataError(f"no file is called like {path}", remedy=_nearest(path))
    return _Entry(path, is_video=True, pictures=tuple(found[at] for at in sorted(found)))


def _refuse(problem: str, remedy: str) -> list[_Entry]:
    raise DataError(problem, remedy=remedy)


def _known(paths: Iterator[Path] | Sequence[Path]) -> list[_Entry]:
    """Keep what its suffix says is an image or a video: folders hold other files too."""
    wanted = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    return [_Entry(path, _holds_video(path)) for path in paths if path.suffix.lower() in wanted]


def _holds_video(path: Path) -> bool:
    """By content; the suffix decides where the content says nothing, so that errors fit."""
    try:
        with path.open("rb") as file:
            head = file.read(400)
    except OSError:
        head = b""
    return is_video(head) or path.suffix.lower() in VIDEO_SUFFIXES


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return f"check the path: the folder {path.parent} does not exist either"
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        names = []
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    if not close:
        return "name an image, a folder or a video that exists"
    return "did you mean " + " or ".join(str(path.parent / name) for name in close) + "?"


def _read(entry: _Entry, skipped: list[Skipped], rate: float) -> Iterator[Frame]:
    source = str(entry.path)
    if entry.pictures:
        info = VideoInfo(rate, len(entry.pictures))
        for index, path in enumerate(entry.pictures):
            try:
                image = read_image(path)
            except DataError as error:
                skipped.append(Skipped(str(path), error.problem))
            else:
                yield Frame(source, index, image, index / rate, info)
        return
    if not entry.is_video:
        yield Frame(source, 0, read_image(entry.path))
        return
    count = 0
    with VideoReader(entry.path) as reader:
        for timestamp, image in reader:
            yield Frame(source, count, image, timestamp, reader.info)
            count += 1
        expected = reader.info.frames
    if expected is not None and count < expected * _FEWEST:
        problem = f"video {source} ends after {count} of about {expected} frames"
        skipped.append(Skipped(source, problem))


def _nothing_decodable(skipped: Sequence[Skipped]) -> DataError:
    first = skipped[0].problem
    if len(skipped) == 1:
        return DataError(first, remedy="name an image or a video that can be decoded")
    return DataError(
        f"none of the {len(skipped)} files can be decoded; the first: {first}",
        remedy="name images or videos that can be decoded",
    )
