"""Large pictures in overlapping tiles, for objects that the network's input would shrink away.

Slicing, a pass over the whole picture beside it, and matching by intersection over the smaller
box: Akyon, Altinuc and Temizel, "Slicing Aided Hyper Inference", ICIP 2022.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import SYSTEM, Clock
from edgecv_cli.detector.merging import BoolArray, Parted, merge
from edgecv_cli.inference.predictor import Timings
from edgecv_cli.inference.team import Looking, Team
from edgecv_cli.media.images import Image

OVERLAP = 0.2
_SHARE = 0.5  # of the smaller box
_EDGE = 0.02  # of a tile's side: boxes are not exact to the pixel where a thing is cut


@dataclass(frozen=True)
class Tile:
    """A part of a picture, in its pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, image: Image) -> Image:
        """Return the tile's pixels, a view."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]

    def place(self, found: Detections) -> Detections:
        """Return what was found in the tile in pixels of the picture."""
        corner = np.array([self.left, self.top, self.left, self.top], np.float32)
        return Detections(found.boxes + corner, found.scores, found.class_ids)

    def cuts(self, found: Detections, picture: tuple[int, int]) -> BoolArray:
        """Return which boxes, in pixels of the tile, end at an edge that is not the picture's."""
        x1, y1, x2, y2 = found.boxes.T
        wide, tall = _EDGE * self.width, _EDGE * self.height
        cut: BoolArray = (x1 < wide) & (self.left > 0)
        cut |= (y1 < tall) & (self.top > 0)
        cut |= (x2 > self.width - wide) & (self.left + self.width < picture[1])
        cut |= (y2 > self.height - tall) & (self.top + self.height < picture[0])
        return cut


def tiles_of(picture: tuple[int, int], tile: tuple[int, int], overlap: float) -> list[Tile]:
    """Cover a picture with tiles of one size, spread evenly.

    Args:
        picture: (height, width) in pixels.
        tile: (height, width); a side that is longer than the picture's is cut to it.
        overlap: share of a tile's side that neighbours have in common at least, 0 to below 1.

    Returns:
        The tiles, row by row; one where the picture is no larger.

    Raises:
        ValueError: a side is not positive, or the overlap is outside its range.
    """
    if min(*picture, *tile) < 1 or not 0 <= overlap < 1:
        raise ValueError(f"no tiles of {tile} with overlap {overlap} in {picture}")
    rows = _starts(picture[0], tile[0], overlap)
    columns = _starts(picture[1], tile[1], overlap)
    height, width = min(tile[0], picture[0]), min(tile[1], picture[1])
    return [Tile(top, left, height, width) for top in rows for left in columns]


def _starts(side: int, tile: int, overlap: float) -> list[int]:
    """Where tiles begin along one axis."""
    room = side - tile
    if room <= 0:
        return [0]
    step = max(1, math.floor(tile * (1 - overlap)))
    gaps = math.ceil(room / step)
    return [round(room * index / gaps) for index in range(gaps + 1)]


class TiledPredictor:
    """Finds objects in a picture and in its tiles, and merges what is found twice.

    Args:
        inner: finds objects in one picture; a team looks at several tiles at once.
        tile: (height, width) of a tile in the picture's pixels.
        overlap: share of a tile's side that neighbours have in common at least.
        iou: overlap above which two boxes of one class are one thing.
        clock: nanoseconds.
    """

    def __init__(
        self,
        inner: Looking,
        tile: tuple[int, int],
        overlap: float = OVERLAP,
        *,
        iou: float,
        clock: Clock = SYSTEM,
    ) -> None:
        self._team = inner if isinstance(inner, Team) else Team((inner,))
        self._clock = clock
        self._tile, self._overlap, self._iou = tile, overlap, iou

    def predict_timed(self, image: Image) -> tuple[Detections, Timings]:
        """Return what is in a BGR uint8 [H, W, 3] image, in its pixels, best first.

        The times are sums over the tiles; merging is part of post-processing.
        """
        picture = image.shape[:2]
        whole = Tile(0, 0, *picture)
        tiles = tiles_of(picture, self._tile, self._overlap)
        looked = [whole] if tiles == [whole] else [whole, *tiles]
        seen = self._team.predict_all([one.cut(image) for one in looked])
        if len(looked) == 1:
            return seen[0]
        found, spent = zip(*seen, strict=True)
        began = self._clock()
        merged = merge(_parted(looked, found, picture), iou=self._iou, share=_SHARE)
        return merged, _sum(spent, merging_ns=self._clock() - began)

    def close(self) -> None:
        """Free the engine's memory."""
        self._team.close()


def _parted(tiles: Sequence[Tile], found: Sequence[Detections], picture: tuple[int, int]) -> Parted:
    placed = [tile.place(its) for tile, its in zip(tiles, found, strict=True)]
    return Parted(
        Detections(
            np.concatenate([its.boxes for its in placed]),
            np.concatenate([its.scores for its in placed]),
            np.concatenate([its.class_ids for its in placed]),
        ),
        np.repeat(np.arange(len(placed)), [len(its) for its in placed]),
        np.concatenate([tile.cuts(its, picture) for tile, its in zip(tiles, found, strict=True)]),
    )


def _sum(spent: Sequence[Timings], *, merging_ns: int) -> Timings:
    return Timings(
        sum(one.preprocess_ns for one in spent),
        sum(one.infer_ns for one in spent),
        sum(one.postprocess_ns for one in spent) + merging_ns,
    )
