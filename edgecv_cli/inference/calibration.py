"""Calibration feed: images as input tensors, one at a time, by the detector's own rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError
from edgecv_cli.detector.letterbox import Letterbox
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.media.images import read_image


class CalibrationFeed:
    """Iterates over images; those that can't be decoded are skipped, counted and named.

    Attributes:
        skipped: ``path: problem`` of each skipped image, after iteration.
        used: the paths that were fed, after iteration.
    """

    def __init__(self, paths: Sequence[Path], spec: DetectorSpec, context: Context) -> None:
        self._paths = paths
        self._spec = spec
        self._context = context
        self.skipped: list[str] = []
        self.used: list[Path] = []

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield float32 [1, 3, H, W]; the buffer is reused for the next image."""
        self.skipped, self.used = [], []
        tensor = np.zeros((1, 3, *self._spec.input.size), np.float32)
        with self._context.progress.task("calibrate", len(self._paths), "image") as task:
            for path in self._paths:
                self._context.cancel.check()
                task.advance()
                try:
                    image = read_image(path)
                except DataError as error:
                    self.skipped.append(f"{path.name}: {error.problem}")
                    continue
                Letterbox.fit(image.shape[:2], self._spec.input).apply(image, tensor[0])
                self.used.append(path)
                yield tensor
