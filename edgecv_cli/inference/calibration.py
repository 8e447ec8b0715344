"""Calibration feed: images as input tensors, one at a time, by the detector's own rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.feeding import InputFeed
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.media.images import read_image


class CalibrationFeed:
    """Iterates over images; those that can't be decoded are skipped, counted and named.

    Attributes:
        skipped: ``path: problem`` of each skipped image, after iteration.
        used: the paths that were fed, after iteration.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        inputs: Sequence[TensorSpec],
        spec: DetectorSpec,
        context: Context,
    ) -> None:
        """Take images for a network with these inputs."""
        self._paths = paths
        self._inputs = inputs
        self._spec = spec
        self._context = context
        self.skipped: list[str] = []
        self.used: list[Path] = []

    def __iter__(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Yield what every input is fed, by name; the arrays are reused for the next image.

        Raises:
            EdgeCVError: as :class:`edgecv_cli.detector.feeding.InputFeed`.
        """
        self.skipped, self.used = [], []
        feed = InputFeed(self._inputs, self._spec)
        with self._context.progress.task("calibrate", len(self._paths), "image") as task:
            for path in self._paths:
                self._context.cancel.check()
                task.advance()
                try:
                    image = read_image(path)
                except DataError as error:
                    self.skipped.append(f"{path.name}: {error.problem}")
                    continue
                feed.fill(image)
                self.used.append(path)
                yield feed.feeds
