"""One picture of a report: an image, shrunk, with boxes, as a small JPEG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.require import cv2
from edgecv_cli.media.draw import draw
from edgecv_cli.media.images import Image, read_image
from edgecv_cli.report.blocks import Picture
from edgecv_cli.stages.compose.writing import plural

_SIDE = 640
_MAX_BYTES = 160_000  # eight of them, in base64, keep a report under 2 MB
_QUALITIES = (85, 70, 55, 40, 25)
_NAMED = 6


@dataclass(frozen=True)
class Canvas:
    """An image at the size that a report shows it.

    Attributes:
        name: the file's name.
        image: BGR uint8, its longer side at most 640 pixels.
        scale: from pixels of the source to pixels of ``image``.
    """

    name: str
    image: Image
    scale: float

    @classmethod
    def read(cls, path: Path) -> Canvas:
        """Read and shrink an image.

        Raises:
            DataError: it can't be decoded.
        """
        image = read_image(path)
        height, width = image.shape[:2]
        scale = min(1.0, _SIDE / max(height, width))
        if scale < 1.0:
            library = cv2()
            size = max(1, round(width * scale)), max(1, round(height * scale))
            image = library.resize(image, size, interpolation=library.INTER_AREA)
        return cls(path.name, image, scale)

    def picture(
        self, found: Detections, classes: Sequence[str], *, by: str, scored: bool, note: str = ""
    ) -> Picture:
        """Return the image with boxes.

        Args:
            found: in pixels of the source.
            classes: class names by class index.
            by: whose view it is.
            scored: whether to write the scores.
            note: what the caption adds.
        """
        boxes = found.boxes * np.float32(self.scale)
        moved = Detections(boxes, found.scores, found.class_ids)
        caption = f"{self.name}, {by}: {plural(len(found), 'object')}"
        return Picture(
            _jpeg(draw(self.image, moved, classes, scores=scored)),
            "image/jpeg",
            f"{caption} ({note})" if note else caption,
            f"{self.name} with the boxes of {by}: {_contents(found, classes)}",
        )


def _contents(found: Detections, classes: Sequence[str]) -> str:
    counts = Counter(
        classes[index] if 0 <= index < len(classes) else f"class {index}"
        for index in found.class_ids.tolist()
    )
    named = [f"{count} {name}" for name, count in counts.most_common(_NAMED)]
    more = len(counts) - len(named)
    return ", ".join(named + ([f"{more} other classes"] if more else [])) or "no objects"


def _jpeg(image: Image) -> bytes:
    """Return the image as JPEG, as good as the limit of bytes lets it be."""
    library = cv2()
    for quality in _QUALITIES:
        _, encoded = library.imencode(".jpg", image, [library.IMWRITE_JPEG_QUALITY, quality])
        if encoded.size <= _MAX_BYTES:
            break
    return bytes(encoded.tobytes())
