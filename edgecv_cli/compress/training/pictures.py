"""What is fed in training: pictures cropped and mirrored by seed, and held-out ones as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.training.schedule import split
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.feeding import InputFeed
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.media.images import read_image

Feed = Mapping[str, NDArray[Any]]
_LEAST = 4
_SMALLEST_CROP = 0.6


class Pictures:
    """Unlabelled images of a folder.

    Args:
        paths: of the images; those that can't be read are left out.
        inputs: of the network.
        spec: how it is fed.
        context: progress, cancellation, seed.

    Raises:
        DataError: fewer than four images can be read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        inputs: Sequence[TensorSpec],
        spec: DetectorSpec,
        context: Context,
    ) -> None:
        self._feed = InputFeed(inputs, spec)
        self._seed = context.seed
        readable = list(_readable(paths, context))
        if len(readable) < _LEAST:
            raise DataError(
                f"fine-tuning needs at least {_LEAST} images, {len(readable)} can be read",
                remedy="give a folder with more --calibration images; 100 or more work well",
            )
        train, held_out = split(len(readable), context.seed)
        self._train = [readable[i] for i in train]
        self._held_out = [readable[i] for i in held_out]

    def batch(self, step: int, size: int) -> Iterator[Feed]:
        """Yield what update ``step`` is fed; the same step gives the same, whatever came before.

        Every image is seen once before one is seen again. The arrays are reused.
        """
        for place in range(step * size, (step + 1) * size):
            turn, index = divmod(place, len(self._train))
            order = np.random.default_rng([self._seed, turn]).permutation(len(self._train))
            path = self._train[int(order[index])]
            yield self._fed(augmented(read_image(path), np.random.default_rng([self._seed, place])))

    def held_out(self) -> Iterator[Feed]:
        """Yield the held-out images as they are; the arrays are reused."""
        for path in self._held_out:
            yield self._fed(read_image(path))

    def _fed(self, picture: NDArray[np.uint8]) -> Feed:
        self._feed.fill(picture)
        return self._feed.feeds


def augmented(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a crop of a picture [H, W, 3], at least 0.6 of each side, mirrored half of the time.

    The teacher sees the same crop, so that no label has to follow it.
    """
    height, width = picture.shape[:2]
    part = rng.uniform(_SMALLEST_CROP, 1.0)
    rows, columns = max(1, round(height * part)), max(1, round(width * part))
    top = int(rng.integers(height - rows + 1))
    left = int(rng.integers(width - columns + 1))
    crop = picture[top : top + rows, left : left + columns]
    return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)


def _readable(paths: Sequence[Path], context: Context) -> Iterator[Path]:
    for path in paths:
        context.cancel.check()
        try:
            read_image(path)
        except DataError as error:
            context.progress.note(f"warning: {path.name}: {error.problem}")
        else:
            yield path
