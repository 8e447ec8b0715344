"""Where on an image the outputs of a layer are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.pruning.flow import Flow

_FEWEST, _MOST, _ROWS_FOR_EACH = 16384, 32768, 20
_FOCUSED = 0.5


@dataclass(frozen=True)
class Places:
    """Picks positions of a layer's output map, half of them where the detector finds something.

    Most of a picture is background; errors there hardly matter to a detector, and would decide
    if positions were drawn evenly.

    Attributes:
        kept: layer to which of its output channels stay, int64 [channels].
        size: height and width of the network's input.
        seed: picks the positions.
        boxes: of each image what the whole network found, float [n, 4], xyxy in input pixels.
    """

    kept: Mapping[str, NDArray[np.int64]]
    size: tuple[int, int]
    seed: int
    boxes: Sequence[NDArray[np.float64]] = field(default=(), repr=False)

    def of(self, image: int, images: int, width: int, after: tuple[int, int]) -> NDArray[np.int64]:
        """Return positions in the flattened output map, int64 [n].

        Args:
            image, images: which one, of how many.
            width: inputs of one output: more of them take more positions.
            after: height and width of the output map.
        """
        rows = int(np.clip(_ROWS_FOR_EACH * width, _FEWEST, _MOST))
        total = after[0] * after[1]
        count = min(-(-rows // images), total)
        rng = np.random.default_rng((self.seed, image, *after))
        even = rng.choice(total, count, replace=False)
        inside = self._inside(image, after)
        if not len(inside) or count == total:
            return even
        focused = rng.choice(inside, min(round(_FOCUSED * count), len(inside)), replace=False)
        return np.concatenate([focused, even[: count - len(focused)]])

    def _inside(self, image: int, after: tuple[int, int]) -> NDArray[np.int64]:
        mask = np.zeros(after, np.bool_)
        if image < len(self.boxes):
            scale = np.asarray([after[1] / self.size[1], after[0] / self.size[0]] * 2)
            for left, top, right, bottom in self.boxes[image] * scale:
                rows = slice(max(0, int(top)), max(0, int(np.ceil(bottom))))
                mask[rows, max(0, int(left)) : max(0, int(np.ceil(right)))] = True
        return np.flatnonzero(mask)


def kept_channels(flow: Flow, removed: frozenset[int]) -> dict[str, NDArray[np.int64]]:
    """Return which output channels of each layer stay."""
    found = {}
    for name in flow.topology.layers:
        mask = flow.keep(name, removed)
        shape = flow.topology.shapes[name]
        count = int(shape[1] or 0) if len(shape) > 1 else 0
        found[name] = np.arange(count) if mask is None else np.flatnonzero(mask)
    return found
