"""What an output's channels are, read from how the decode tail answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.detector.candidates import corners
from edgecv_cli.detector.grid import grid
from edgecv_cli.detector.rows import rows_of
from edgecv_cli.detector.spec import BoxLayout
from edgecv_cli.graph.facts import GraphFacts, TailProbe

Kind = Literal["sigmoid", "linear", "other"]
Array = NDArray[Any]

LAYOUTS: tuple[BoxLayout, ...] = ("cxcywh", "xyxy", "yxyx")
_CELL_TOLERANCE = 0.15  # of a cell: above rounding in fp16, far below half a cell
_MAX_AXIS = 100_000
_MAX_ELEMENTS = 64_000_000


@dataclass(frozen=True)
class Channels:
    """One output of the probed tail, laid out as [C, N].

    Attributes:
        rest, high, low: its values with all heads at 0, +8 and -8.
        heads: per channel, the heads that move it.
        columns: per head, the first and last candidate that it moves.
    """

    rest: Array
    high: Array
    low: Array
    heads: tuple[frozenset[str], ...]
    columns: dict[str, tuple[int, int]]

    @property
    def count(self) -> int:
        """Number of channels."""
        return len(self.rest)

    def kind(self, channel: int) -> Kind:
        """Whether a channel is a sigmoid of a head, a head's plain value, or something else."""
        return self.kinds()[channel]

    def kinds(self) -> tuple[Kind, ...]:
        """The kind of every channel; worked out once."""
        return self._kinds

    @cached_property
    def _kinds(self) -> tuple[Kind, ...]:
        rest, high, low = self.rest, self.high, self.low
        sigmoid = np.abs(rest - 0.5).max(axis=1) < 0.05
        sigmoid &= (high.min(axis=1) > 0.9) & (low.max(axis=1) < 0.1)
        linear = np.abs(rest).max(axis=1) < 0.5
        linear &= (np.abs(high - 8).max(axis=1) < 0.5) & (np.abs(low + 8).max(axis=1) < 0.5)
        names: dict[tuple[bool, bool], Kind] = {(True, False): "sigmoid", (False, True): "linear"}
        pairs = zip(sigmoid.tolist(), linear.tolist(), strict=True)
        return tuple(names.get(pair, "other") for pair in pairs)

    def heads_of(self, start: int, stop: int | None = None) -> frozenset[str]:
        """Return every head that moves a channel of ``start`` to ``stop`` (exclusive)."""
        return frozenset().union(*self.heads[start:stop])


# every head looks at the same few layouts of the same outputs
_LAID_OUT: WeakKeyDictionary[TailProbe, dict[tuple[str, str, int], Channels | None]] = (
    WeakKeyDictionary()
)


def channels_of(tail: TailProbe, name: str, axes: str, anchors: int = 1) -> Channels | None:
    """Lay one output out by channel, the first image's; None if its shape does not fit ``axes``.

    Args:
        tail: the probed decode tail.
        name: the output.
        axes: how to read its shape, as in :class:`edgecv_cli.detector.spec.OutputTensor`; the
            candidates of one anchor follow those of another where anchors have an axis.
        anchors: how many anchors share an axis with something else.
    """
    known = _LAID_OUT.setdefault(tail, {})
    key = (name, axes, anchors)
    if key not in known:
        known[key] = _laid_out(tail, name, axes, anchors)
    return known[key]


def _laid_out(tail: TailProbe, name: str, axes: str, anchors: int) -> Channels | None:
    rest = tail.rest[name]
    if not rest.size or rest.size > _MAX_ELEMENTS:
        return None
    if not all(np.isfinite(probe[name]).all() for probe in (tail.rest, tail.low)):
        return None

    def planes(array: Array) -> Array:
        views = [view[0].T for view in rows_of(array, axes, anchors)]
        return views[0] if len(views) == 1 else np.concatenate(views, axis=1)

    try:
        plane = planes(rest).astype(np.float64)
    except ValueError:
        return None
    if len(plane) > _MAX_AXIS:
        return None
    touched = {head: planes(outputs[name]) for head, outputs in tail.touched.items()}
    moves = {head: np.flatnonzero(mask.any(axis=1)) for head, mask in touched.items()}
    movers: list[set[str]] = [set() for _ in range(len(plane))]
    for head, channels in moves.items():
        for channel in channels:
            movers[channel].add(head)
    columns = {}
    for head, mask in touched.items():
        moved = np.flatnonzero(mask.any(axis=0))
        if len(moved):
            columns[head] = (int(moved[0]), int(moved[-1]))
    return Channels(
        rest=plane,
        high=planes(tail.high[name]).astype(np.float64),
        low=planes(tail.low[name]).astype(np.float64),
        heads=tuple(frozenset(names) for names in movers),
        columns=columns,
    )


def shapes_of(facts: GraphFacts) -> dict[str, tuple[int | None, ...]]:
    """Return each output's shape: as probed where the tail could be run, else as declared."""
    if facts.tail is None:
        return {output.name: output.shape for output in facts.outputs}
    return {name: tuple(array.shape) for name, array in facts.tail.rest.items()}


@dataclass(frozen=True)
class GridBoxes:
    """Boxes that at rest sit on the cells of a grid.

    Attributes:
        layout, normalized: how the four channels say a box.
        offset: where in its cell a box is centred: 0.5 the middle, 0 the corner.
        strides: in the order in which the levels follow each other.
        extent: a box's width at rest in cells, or None if it differs between cells.
    """

    layout: BoxLayout
    normalized: bool
    offset: float
    strides: tuple[int, ...]
    extent: float | None

    def evidence(self, size: tuple[int, int]) -> str:
        """Say what was seen."""
        where = "the middle" if self.offset else "the corner"
        unit = "0..1" if self.normalized else f"pixels of {size[0]}x{size[1]}"
        width = f", {self.extent:.2f} cells wide" if self.extent is not None else ""
        order = "/".join(str(stride) for stride in self.strides)
        return (
            f"with all heads at 0 the boxes sit at {where} of their cells, x varying fastest, "
            f"strides {order}{width}: decoded {self.layout} in {unit}"
        )


@np.errstate(over="ignore", invalid="ignore")
def grid_boxes(rest: Array, strides: tuple[int, ...], size: tuple[int, int]) -> GridBoxes | None:
    """Work out how boxes at rest [4, N] lie on a grid; None if they don't.

    Where several layouts put the centres right, because boxes at rest have no extent, the one
    whose extents differ least is the one.
    """
    fitting = []
    if rest.shape[1] < 2:  # on a single cell anything sits
        return None
    for order in dict.fromkeys((strides, strides[::-1])):
        cells, steps = grid(size, order)
        for layout, normalized in product(LAYOUTS, (False, True)):
            boxes = corners(rest.T, layout, normalized=normalized, size=size)
            extents = (boxes[:, 2:] - boxes[:, :2]) / steps
            offset = _offset((boxes[:, :2] + boxes[:, 2:]) / 2 / steps - cells)
            if offset is None or extents.min() < -_CELL_TOLERANCE:
                continue
            spread = float(np.ptp(extents))
            extent = float(extents.mean()) if spread < _CELL_TOLERANCE else None
            fitting.append((spread, GridBoxes(layout, normalized, offset, order, extent)))
    return min(fitting, key=lambda entry: entry[0])[1] if fitting else None


def _offset(centres: Array) -> float | None:
    for offset in (0.5, 0.0):
        if np.abs(centres - offset).max() < _CELL_TOLERANCE:
            return offset
    return None
