"""Published sets of square priors: by them the boxes of face detectors are known again.

UltraFace is Linzaer's Ultra-Light-Fast-Generic-Face-Detector-1MB (``fd_config.py``), RetinaFace
is biubug6's Pytorch_Retinaface after Deng et al. 2020 (``data/config.py``); the slim networks of
its author carry UltraFace's sides on RetinaFace's grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import FloatArray
from edgecv_cli.detector.anchors import Anchors
from edgecv_cli.detector.candidates import corners
from edgecv_cli.detector.grid import grid
from edgecv_cli.detector.probing import LAYOUTS
from edgecv_cli.detector.spec import BoxLayout, InputSpec

_SIDES = ((10, 16, 24), (32, 48), (64, 96), (128, 192, 256))


@dataclass(frozen=True)
class PriorSet:
    """Square priors of several sides at every cell.

    Attributes:
        name: whose they are.
        strides, sides: per stride, the sides in pixels.
        even: whether a level's cells share the input evenly, rather than being a stride wide.
        clipped: whether sides end at those of the input.
        landmarks: whether the network says key points of a face as well.
        input: the preprocessing that goes with it.
    """

    name: str
    strides: tuple[int, ...]
    sides: tuple[tuple[int, ...], ...]
    even: bool
    clipped: bool
    landmarks: bool
    input: InputSpec

    def anchors(self, size: tuple[int, int]) -> Anchors:
        """Return per stride each prior's width and height for an input of [height, width]."""
        most = (size[1], size[0]) if self.clipped else (1 << 30, 1 << 30)
        return tuple(
            tuple((float(min(side, most[0])), float(min(side, most[1]))) for side in row)
            for row in self.sides
        )

    def boxes(self, size: tuple[int, int]) -> FloatArray:
        """Return the priors, float32 [N, 4] as x1, y1, x2, y2 in pixels."""
        parts = []
        for stride, row in zip(self.strides, self.anchors(size), strict=True):
            cells, steps = grid(size, (stride,), even=self.even)
            centres = np.repeat((cells + 0.5) * steps, len(row), axis=0)
            halves = np.tile(np.asarray(row, np.float32) / 2, (len(cells), 1))
            parts.append(np.concatenate([centres - halves, centres + halves], axis=1))
        return np.concatenate(parts).astype(np.float32)

    def count(self, size: tuple[int, int]) -> int:
        """Return how many there are."""
        return sum(
            len(grid(size, (stride,))[0]) * len(row)
            for stride, row in zip(self.strides, self.sides, strict=True)
        )

    def words(self) -> str:
        """Name the sides."""
        return " / ".join(",".join(str(side) for side in row) for row in self.sides)


_ULTRA = InputSpec(
    size=(240, 320), color="rgb", mean=(127.0,) * 3, std=(128.0,) * 3, resize="stretch"
)
_RETINA = InputSpec(
    size=(640, 640), color="bgr", mean=(104.0, 117.0, 123.0), resize="letterbox-topleft"
)

PRIOR_SETS = (
    PriorSet(
        name="UltraFace",
        strides=(8, 16, 32, 64),
        sides=_SIDES,
        even=True,
        clipped=True,
        landmarks=False,
        input=_ULTRA,
    ),
    PriorSet(
        name="RetinaFace",
        strides=(8, 16, 32),
        sides=((16, 32), (64, 128), (256, 512)),
        even=False,
        clipped=False,
        landmarks=True,
        input=_RETINA,
    ),
    PriorSet(
        name="RetinaFace slim",
        strides=(8, 16, 32, 64),
        sides=_SIDES,
        even=False,
        clipped=False,
        landmarks=True,
        input=_RETINA,
    ),
)


def matching_priors(
    rest: NDArray[Any], size: tuple[int, int], *, landmarks: bool
) -> Iterator[tuple[PriorSet, BoxLayout, bool]]:
    """Yield the sets that boxes at rest [4, N] are, with their layout and whether in 0..1.

    Args:
        rest: the boxes with all heads at 0.
        size: [height, width] of the input.
        landmarks: sets that say key points come first if so, else those that don't.
    """
    for known in sorted(PRIOR_SETS, key=lambda entry: entry.landmarks != landmarks):
        if known.count(size) != rest.shape[1]:
            continue
        wanted = known.boxes(size)
        # what fp16 rounds a corner by, far below the distance of two cells
        bar = 0.5 + 0.02 * (wanted[:, 2:] - wanted[:, :2]).max(axis=1, keepdims=True)
        for layout in LAYOUTS:
            for normalized in (True, False):
                boxes = corners(rest.T, layout, normalized=normalized, size=size)
                if (np.abs(boxes - wanted) <= bar).all():
                    yield known, layout, normalized
