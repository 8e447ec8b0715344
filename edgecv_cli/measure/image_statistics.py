"""What a set of images looks like, in a few numbers an image; memory is some 300 bytes each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError
from edgecv_cli.core.require import cv2
from edgecv_cli.detector.letterbox import Letterbox
from edgecv_cli.detector.spec import InputSpec
from edgecv_cli.media.images import Image, Reduced, read_reduced

SIDE = 64  # of the square that statistics are taken on
MINIATURE = 16  # of the one that images are compared by
TRAITS = ("brightness", "contrast", "colour", "warmth", "detail", "flat area", "shape")
_FLAT = 3  # grey levels between neighbours: drawn surfaces and paper, not photographs
_NOTHING = 2.0  # of 255: less deviation than any exposed picture's


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of n images that could be decoded.

    Attributes:
        paths: the files.
        digests: sha256 of each file's bytes.
        miniatures: uint8 [n, 256], grey, 16 x 16 pixels.
        deviations: float64 [n], the largest deviation of a colour's values over the image.
        traits: float64 [n, 7], in the order of ``TRAITS``: brightness (mean grey level,
            0..255), contrast (its deviation), colour (mean chroma, 0..255), warmth (red minus
            blue), detail (mean step between neighbours in grey levels), flat area (share of
            steps below 3), shape (share of the network's input that is padding; where images
            are stretched, log2 of how much more they are widened than heightened).
    """

    paths: tuple[Path, ...]
    digests: tuple[str, ...]
    miniatures: NDArray[np.uint8]
    deviations: NDArray[np.float64]
    traits: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def blank(self) -> NDArray[np.bool_]:
        """Which images show nothing: of one colour throughout, or nearly so; bool [n]."""
        nothing: NDArray[np.bool_] = self.deviations < _NOTHING
        return nothing


def image_statistics(
    paths: Sequence[Path], spec: InputSpec, context: Context, *, name: str
) -> ImageStatistics:
    """Look at images in small; those that can't be decoded are left out.

    Args:
        paths: image files.
        spec: the network's input, for what it makes of an image's shape.
        context: progress and cancellation.
        name: what progress calls it.
    """
    kept: list[Path] = []
    digests: list[str] = []
    miniatures = np.zeros((len(paths), MINIATURE * MINIATURE), np.uint8)
    deviations = np.zeros(len(paths))
    traits = np.zeros((len(paths), len(TRAITS)))
    with context.progress.task(name, len(paths), "image") as task:
        for path in paths:
            context.cancel.check()
            task.advance()
            try:
                reduced = read_reduced(path, SIDE)
            except DataError:
                continue
            place = len(kept)
            miniatures[place], deviations[place], traits[place, :-1] = _look(reduced.image)
            traits[place, -1] = _shape(reduced, spec)
            kept.append(path)
            digests.append(reduced.sha256)
    used = len(kept)
    return ImageStatistics(
        tuple(kept), tuple(digests), miniatures[:used], deviations[:used], traits[:used]
    )


def _look(image: Image) -> tuple[NDArray[np.uint8], float, tuple[float, ...]]:
    library = cv2()
    small = library.resize(image, (SIDE, SIDE), interpolation=library.INTER_AREA)
    grey = library.cvtColor(small, library.COLOR_BGR2GRAY)
    planes = library.split(small)
    highest, lowest = (
        pick(pick(planes[0], planes[1]), planes[2]) for pick in (library.max, library.min)
    )
    steps = np.concatenate([
        library.absdiff(grey[1:], grey[:-1]).ravel(),
        library.absdiff(grey[:, 1:], grey[:, :-1]).ravel(),
    ])  # fmt: skip
    mean, deviation = library.meanStdDev(grey)
    miniature = library.resize(grey, (MINIATURE, MINIATURE), interpolation=library.INTER_AREA)
    return (
        miniature.ravel(),
        float(library.meanStdDev(small)[1].max()),
        (
            float(mean[0, 0]),
            float(deviation[0, 0]),
            library.mean(highest)[0] - library.mean(lowest)[0],
            library.mean(planes[2])[0] - library.mean(planes[0])[0],
            float(steps.mean()),
            np.count_nonzero(steps < _FLAT) / steps.size,
        ),
    )


def _shape(reduced: Reduced, spec: InputSpec) -> float:
    fit = Letterbox.fit((reduced.height, reduced.width), spec)
    if spec.resize == "stretch":
        tall, wide = (size / whole for size, whole in zip(fit.content, fit.source, strict=True))
        return float(np.log2(wide / tall))
    return 1 - float(np.prod(fit.content) / np.prod(spec.size))
