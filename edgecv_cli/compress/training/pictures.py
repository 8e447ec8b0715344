"""What is fed in training: pictures cropped, mirrored and tinted by seed; held-out ones as they
are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.training.schedule import split
from edgecv_cli.core.boxes import Detections, FloatArray
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError
from edgecv_cli.core.require import cv2
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.feeding import InputFeed
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.media.images import read_image

Feed = Mapping[str, NDArray[Any]]
Picture = NDArray[np.uint8]
_LEAST = 4
_SMALLEST_CROP = 0.6
_AS_IT_IS = 0.25
_STRENGTH, _LIGHT, _TINT = 0.4, 0.2, 0.06


@dataclass(frozen=True)
class Crop:
    """A part of a picture, mirrored or not.

    Attributes:
        rows, columns: begin and end, in pixels.
        mirrored: left and right change places.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    mirrored: bool

    def of(self, picture: Picture) -> Picture:
        """Return the part of a picture [H, W, 3]."""
        part = picture[slice(*self.rows), slice(*self.columns)]
        return np.ascontiguousarray(part[:, ::-1] if self.mirrored else part)

    def boxes(self, boxes: FloatArray) -> FloatArray:
        """Return boxes [n, 4] (x1, y1, x2, y2) as they lie in the part, cut off at its edges."""
        (top, bottom), (left, right) = self.rows, self.columns
        moved = boxes - np.array([left, top, left, top], np.float32)
        if self.mirrored:
            moved = moved[:, [2, 1, 0, 3]]
            moved[:, [0, 2]] = (right - left) - moved[:, [0, 2]]
        limit = np.array([right - left, bottom - top] * 2, np.float32)
        return np.clip(moved, 0, limit).astype(np.float32)


class Teacher(Protocol):
    """Says what is in a picture."""

    @property
    def digest(self) -> str:
        """Names what it says, for the checkpoint."""
        ...

    def __call__(self, path: Path, picture: Picture, crop: Crop | None) -> Detections:
        """Return the objects of a picture, in its pixels.

        Args:
            path: the file that it comes from.
            picture: BGR uint8 [H, W, 3], as the student sees it.
            crop: which part of the file's picture it is; None is the whole.
        """
        ...


class Shown(dict[str, NDArray[Any]]):
    """A feed with what is to be found in it.

    Attributes:
        objects: boxes in pixels of the network's input, x1, y1, x2, y2.
    """

    def __init__(self, feeds: Feed, objects: Detections) -> None:
        super().__init__(feeds)
        self.objects = objects


class Pictures:
    """Unlabelled images of a folder.

    Args:
        paths: of the images; those that can't be read are left out.
        inputs: of the network.
        spec: how it is fed.
        context: progress, cancellation, seed.
        teacher: what says what is in them; feeds are then :class:`Shown`.
        tinted: whether light and colours vary too.

    Raises:
        DataError: fewer than four images can be read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        inputs: Sequence[TensorSpec],
        spec: DetectorSpec,
        context: Context,
        teacher: Teacher | None = None,
        *,
        tinted: bool = True,
    ) -> None:
        self._feed, self._teacher = InputFeed(inputs, spec), teacher
        self._seed, self._tinted, self._spec = context.seed, tinted, spec
        readable = list(_readable(paths, context))
        if len(readable) < _LEAST:
            raise DataError(
                f"training needs at least {_LEAST} images, {len(readable)} can be read",
                remedy="give a folder with more images; 100 or more work well",
            )
        train, held_out = split(len(readable), context.seed)
        self._train = [readable[i] for i in train]
        self._held_out = [readable[i] for i in held_out]

    @property
    def counts(self) -> tuple[int, int]:
        """How many images are trained on, and how many are held out."""
        return len(self._train), len(self._held_out)

    @property
    def digest(self) -> str:
        """Names what is fed, for the checkpoint: files by name and size, spec, and light."""
        parts = [f"{path.name} {path.stat().st_size}" for path in self._train + self._held_out]
        told = "\n".join([*parts, self._spec.dumps(), f"tinted {self._tinted}"])
        return hashlib.sha256(told.encode()).hexdigest()

    def batch(self, step: int, size: int) -> Iterator[Feed]:
        """Yield what update ``step`` is fed; the same step gives the same, whatever came before.

        Every image is seen once before one is seen again.
        """
        for place in range(step * size, (step + 1) * size):
            turn, index = divmod(place, len(self._train))
            order = np.random.default_rng([self._seed, turn]).permutation(len(self._train))
            path = self._train[int(order[index])]
            picture = read_image(path)
            rng = np.random.default_rng([self._seed, place])
            crop = crop_of(picture.shape[:2], rng)
            part = crop.of(picture)
            yield self._fed(path, tinted(part, rng) if self._tinted else part, crop)

    def held_out(self) -> Iterator[Feed]:
        """Yield the held-out images as they are."""
        for path in self._held_out:
            yield self._fed(path, read_image(path), None)

    def _fed(self, path: Path, picture: Picture, crop: Crop | None) -> Feed:
        fit = self._feed.fill(picture)
        feeds = {name: value.copy() for name, value in self._feed.feeds.items()}
        if self._teacher is None:
            return feeds
        found = self._teacher(path, picture, crop)
        return Shown(feeds, replace(found, boxes=fit.to_input(found.boxes)))


def crop_of(size: tuple[int, int], rng: np.random.Generator) -> Crop:
    """Return a crop of at least 0.6 of each side (height, width), mirrored half of the time."""
    height, width = size
    part = rng.uniform(_SMALLEST_CROP, 1.0)
    rows, columns = max(1, round(height * part)), max(1, round(width * part))
    top = int(rng.integers(height - rows + 1))
    left = int(rng.integers(width - columns + 1))
    return Crop((top, top + rows), (left, left + columns), bool(rng.random() < 0.5))


def tinted(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture in another light: brightness, contrast, colour and its strength.

    Args:
        picture: BGR uint8 [H, W, 3].
        rng: draws how; one in four is left as it is.
    """
    if rng.random() < _AS_IT_IS:
        return picture
    library = cv2()
    strength = rng.uniform(1 - _STRENGTH, 1 + _STRENGTH)
    plain = library.cvtColor(picture, library.COLOR_BGR2GRAY)
    grey = library.cvtColor(plain, library.COLOR_GRAY2BGR)
    coloured = library.addWeighted(picture, strength, grey, 1 - strength, 0.0)
    gain = rng.uniform(1 - _LIGHT, 1 + _LIGHT) * rng.uniform(1 - _TINT, 1 + _TINT, 3)
    contrast = rng.uniform(1 - _LIGHT, 1 + _LIGHT)
    values = (np.arange(256.0)[:, None] - 127.5) * contrast + 127.5
    table = np.clip(np.rint(values * gain), 0, 255).astype(np.uint8)[:, None]
    changed: Picture = library.LUT(coloured, table)
    return changed


def _readable(paths: Sequence[Path], context: Context) -> Iterator[Path]:
    for path in paths:
        context.cancel.check()
        try:
            read_image(path)
        except DataError as error:
            context.progress.note(f"warning: {path.name}: {error.problem}")
        else:
            yield path
