"""Outputs looked at as levels: each holds the cells of one stride, in one order of axes.

A detector without a joint tensor leaves one output, or several, for every stride. Which axis is
which is not written anywhere; it follows from the sizes, and where those leave it open, from
what all outputs have in common and from what their channels do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby

from edgecv_cli.detector.grid import cell_count, head_strides
from edgecv_cli.detector.probing import Channels, Kind, channels_of, shapes_of
from edgecv_cli.detector.rows import axis_sizes
from edgecv_cli.graph.facts import GraphFacts, TailProbe

PLAIN = (
    *("b,n,c", "b,c,n", "b,c,h,w", "b,h,w,c"),
    *("n,c", "c,n", "c,h,w", "h,w,c"),
)
"""Axes of outputs whose cells have one candidate each."""
ANCHORED = (
    *("b,a,h,w,c", "b,a,c,h,w", "b,h,w,a,c", "b,a,n,c", "b,n,a,c"),
    *("b,ac,h,w", "b,h,w,ac", "b,ac,n", "b,n,ac", "b,an,c", "b,na,c"),
    *("a,h,w,c", "h,w,a,c", "ac,h,w", "h,w,ac", "ac,n", "n,ac", "an,c", "na,c"),
)
"""Axes of outputs whose cells have one candidate an anchor."""

_USUAL = (8, 16, 32, 64, 128, 4)
_MAX_ANCHORS = 16


@dataclass(frozen=True)
class Level:
    """One output as the cells of one stride.

    Attributes:
        output: its name.
        shape: its shape.
        axes: how its axes are read, as in :class:`edgecv_cli.detector.spec.OutputTensor`.
        stride: input pixels a cell.
        anchors: candidates of a cell.
        count: channels of a candidate.
    """

    output: str
    shape: tuple[int, ...]
    axes: str
    stride: int
    anchors: int
    count: int
    tail: TailProbe | None

    @cached_property
    def channels(self) -> Channels | None:
        """What the probe saw of each channel; None without a probe."""
        if self.tail is None:
            return None
        return channels_of(self.tail, self.output, self.axes, self.anchors)

    @cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """The kind of every channel; none without a probe."""
        return self.channels.kinds() if self.channels else ()

    @property
    def runs(self) -> tuple[tuple[Kind, int], ...]:
        """Neighbouring channels of one kind, and how many."""
        return tuple((kind, len(list(group))) for kind, group in groupby(self.kinds))

    def words(self) -> str:
        """Name the output with its shape."""
        return f"'{self.output}' [{','.join(str(size) for size in self.shape)}]"


@dataclass(frozen=True)
class Levels:
    """All outputs of a graph that are levels under one order of axes.

    Attributes:
        axes, anchors: what they share.
        strides: per stride, rising, its outputs in the graph's order.
        others: outputs that are no cells of a stride under these axes.
    """

    axes: str
    anchors: int
    strides: Mapping[int, tuple[Level, ...]]
    others: tuple[str, ...]

    def words(self, size: tuple[int, int]) -> str:
        """Say how the shapes were read."""
        parts = (
            f"{' and '.join(level.words() for level in levels)} are the cells of stride {stride}"
            for stride, levels in self.strides.items()
        )
        return f"at {size[0]}x{size[1]}, outputs {'; '.join(parts)}"


def levels(
    facts: GraphFacts, axes: Sequence[str] = PLAIN, anchors: Sequence[int] = (1,)
) -> Iterator[Levels]:
    """Yield the graph's outputs as levels, once for every order of axes that fits any of them.

    Args:
        facts: the graph.
        axes: the orders of axes to try.
        anchors: the numbers of anchors to try where they share an axis with something else; an
            axis of their own says how many there are.
    """
    if facts.input_size is None:
        return
    maps = head_strides(facts.tail.heads, facts.input_size) if facts.tail else {}
    for order in axes:
        shared = any(len(part) > 1 for part in order.split(","))
        for many in anchors if shared else (1,):
            read = partial(_level, facts, facts.input_size, maps, axes=order, anchors=many)
            yield from _grouped(order, {name: read(name) for name in shapes_of(facts)})


def _grouped(axes: str, read: Mapping[str, Level | None]) -> Iterator[Levels]:
    """Yield the outputs as levels, for each number of anchors that is found."""
    found = [level for level in read.values() if level is not None]
    for anchors in sorted({level.anchors for level in found}):
        entries = [level for level in found if level.anchors == anchors]
        strides = {
            stride: tuple(level for level in entries if level.stride == stride)
            for stride in sorted({level.stride for level in entries})
        }
        others = tuple(sorted(set(read) - {level.output for level in entries}))
        yield Levels(axes, anchors, strides, others)


def _level(
    facts: GraphFacts,
    size: tuple[int, int],
    maps: Mapping[str, int],
    name: str,
    *,
    axes: str,
    anchors: int,
) -> Level | None:
    shape = shapes_of(facts)[name]
    known = tuple(part for part in shape if part is not None)
    if len(known) != len(shape) or not 2 <= len(shape) <= 5 or min(known, default=0) < 1:
        return None
    try:
        sizes = axis_sizes(known, axes, anchors)
    except ValueError:
        return None
    many = sizes.get("a", 1)
    if many > _MAX_ANCHORS:
        return None
    moving = _moving_strides(facts.tail, name, maps)
    for stride in sorted(moving or set(maps.values()) or _USUAL):
        if _fits(sizes, size, stride):
            return Level(name, known, axes, stride, many, sizes["c"], facts.tail)
    return None


def _moving_strides(tail: TailProbe | None, name: str, maps: Mapping[str, int]) -> set[int]:
    """Return the strides of the heads that move an output."""
    if tail is None:
        return set()
    return {stride for head, stride in maps.items() if tail.touched[head][name].any()}


def _fits(sizes: Mapping[str, int], size: tuple[int, int], stride: int) -> bool:
    if "n" in sizes:
        return sizes["n"] == cell_count(size, (stride,))
    return (sizes["h"], sizes["w"]) == (-(-size[0] // stride), -(-size[1] // stride))
