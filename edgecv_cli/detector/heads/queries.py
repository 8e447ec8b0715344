"""Outputs of a transformer's object queries: a box and class scores each, in no grid.

Boxes are told by how they answer when all layers say the same: a sigmoid of anything ends at 1
and 0, and only queries keep their number from the last layers on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgecv_cli.detector.probing import Array, Channels, channels_of, shapes_of
from edgecv_cli.detector.spec import BoxLayout
from edgecv_cli.graph.facts import GraphFacts

Applied = Literal["none", "sigmoid", "softmax"]
_NEAR = 0.1  # references of up to 0.99 shift what a sigmoid ends at
_EVEN = 0.02
_MOST = 5000  # queries: hundreds in every published model
_MOST_CHANNELS = 1004  # a box and a thousand classes; longer rows are candidates
_GROWTH = 4.0  # log of how a reparametrised side grows with its layer at +8; SSD's reach 1.6


@dataclass(frozen=True)
class QueryBoxes:
    """How the boxes of queries are said.

    Attributes:
        layout, normalized: how the four channels say a box.
        relative: offsets and log sizes from a reference box, and no sigmoid.
        words: what was seen.
    """

    layout: BoxLayout
    normalized: bool
    relative: bool
    words: str


@dataclass(frozen=True)
class Queries:
    """Boxes and scores of the same queries, in two outputs or one.

    Attributes:
        boxes, scores: the outputs; the same one where they stand together.
        count: how many queries; ``classes``: score channels.
        box: how a box is said; ``applied``: what the graph does to the scores.
        logits: probed score channels.
        referenced: whether boxes stand around references of their own, and not each around 0.
        bias: of the layer that says the scores [classes], or None.
    """

    boxes: str
    scores: str
    count: int
    classes: int
    box: QueryBoxes
    applied: Applied
    logits: Channels
    referenced: bool
    bias: Array | None

    @property
    def joint(self) -> bool:
        """Whether one output holds both."""
        return self.boxes == self.scores


def find_queries(facts: GraphFacts) -> Iterator[Queries]:
    """Yield every pair of outputs, or output, that holds queries' boxes and scores."""
    if facts.tail is None or facts.input_size is None:
        return
    rows = {
        name: seen
        for name, shape in shapes_of(facts).items()
        if len(shape) == 3 and 1 <= (shape[1] or 0) <= _MOST and (shape[2] or 0) <= _MOST_CHANNELS
        for seen in [channels_of(facts.tail, name, "b,n,c")]
        if seen is not None
    }
    for boxes, seen in rows.items():
        if seen.count > 4:
            yield from _read(facts, boxes, boxes, seen, _part(seen, 4))
        if seen.count != 4:
            continue
        for scores, others in rows.items():
            if scores != boxes and others.rest.shape[1] == seen.rest.shape[1]:
                yield from _read(facts, boxes, scores, seen, others)


def _read(
    facts: GraphFacts, boxes: str, scores: str, seen: Channels, logits: Channels
) -> Iterator[Queries]:
    assert facts.input_size is not None
    head = _class_head(facts, logits)
    if head is None:
        return
    box = query_boxes(seen.rest[:4], seen.high[:4], seen.low[:4], facts.input_size)
    applied = applied_to(logits)
    if box is None or applied is None:
        return
    assert facts.tail is not None
    bias = facts.tail.bias.get(head)
    fits = bias is not None and bias.size == logits.count
    count = seen.rest.shape[1]
    yield Queries(
        boxes, scores, count, logits.count, box, applied, logits, _referenced(seen),
        bias if fits else None,
    )  # fmt: skip


def _referenced(boxes: Channels) -> bool:
    """Whether centres differ at rest, or hang on a layer more than sides do.

    DETR and YOLOS say a box by one layer alone; all that came after add a reference.
    """
    scale = max(1e-6, float(np.abs(boxes.high[:2]).max()))
    apart = float(np.ptp(boxes.rest[:2], axis=1).max()) / scale
    return apart > _EVEN or bool(boxes.heads_of(0, 2) - boxes.heads_of(2, 4))


def _part(seen: Channels, start: int) -> Channels:
    return Channels(
        seen.rest[start:], seen.high[start:], seen.low[start:], seen.heads[start:], seen.columns
    )


def _class_head(facts: GraphFacts, logits: Channels) -> str | None:
    """Return the layer that says the scores: a row a query, a channel a class; else None.

    It is what tells queries from the cells of a map, whose layers are maps.
    """
    assert facts.tail is not None
    count = logits.rest.shape[1]
    for head in sorted(logits.heads_of(0)):
        *before, channels = facts.tail.heads[head]
        # behind the last layer of a decoder stand those of all its layers in some exports
        if channels in (logits.count, logits.count + 1) and int(np.prod(before)) % count == 0:
            return head
    return None


def query_boxes(rest: Array, high: Array, low: Array, size: tuple[int, int]) -> QueryBoxes | None:
    """Work out how queries' boxes [4, N] are said; None if they are none.

    Args:
        rest, high, low: with all layers at 0, +8 and -8.
        size: [height, width] of the input.
    """
    height, width = size
    seen = f"boxes end at {_few(high)} with all layers at +8 and at {_few(low)} at -8"
    for normalized, (w, h) in ((True, (1, 1)), (False, (width, height))):
        unit = np.array([w, h, w, h], np.float64)[:, None]
        top, bottom, middle = high / unit, low / unit, rest / unit
        if np.abs(bottom).max() > _NEAR or not np.isfinite(middle).all():
            continue
        where = "0..1" if normalized else f"pixels of {height}x{width}"
        if np.abs(top[:2] - 1).max() < _NEAR and top[2:].min() > 1 - _NEAR:
            return QueryBoxes("cxcywh", normalized, False, f"{seen}: sigmoids, cxcywh in {where}")
        if np.abs(top[:2] - 0.5).max() < _NEAR and top[2:].min() > 1 - _NEAR:
            words = f"{seen}: corners of sigmoids, xyxy in {where}"
            return QueryBoxes("xyxy", normalized, False, words)
    if _relative(rest, high, low):
        words = (
            f"{seen}, and at rest centres lie in {rest[:2].min():.2f}..{rest[:2].max():.2f}: "
            "offsets and log sizes from reference boxes, cxcywh in 0..1"
        )
        return QueryBoxes("cxcywh", True, True, words)
    return None


def _few(values: Array) -> str:
    return ",".join(f"{part:.3g}" for part in np.median(values, axis=1))


def _relative(rest: Array, high: Array, low: Array) -> bool:
    """Whether sides are exponentials of a layer, around references in 0..1 (Lite-DETR, RF-DETR)."""
    sides = np.stack([low[2:], rest[2:], high[2:]])
    if sides.min() <= 0 or not np.isfinite(sides).all():
        return False
    falling, rising = np.diff(np.log(sides), axis=0)
    inside = rest.min() > -1 and rest[:2].max() < 2 and np.median(rest[2:]) <= 1
    return bool(inside and rising.min() > _GROWTH and np.abs(rising - falling).max() < 0.1 * 8)


def _sums(scores: Channels) -> bool:
    """Whether scores are plain sums of layers, as where D-FINE adds a box's quality to them."""
    top = float(np.median(scores.high))
    spread = (np.abs(scores.rest), np.abs(scores.high - top), np.abs(scores.low + top))
    return top > 8 and max(part.max() for part in spread) < 0.5


def applied_to(scores: Channels) -> Applied | None:
    """Return what the graph applies to scores; None if it is neither nothing nor a known one."""
    kinds = set(scores.kinds())
    if kinds == {"sigmoid"}:
        return "sigmoid"
    if kinds == {"linear"} or _sums(scores):
        return "none"
    for shares in (scores.count, scores.count + 1):  # a class of no object may be cut off
        levels = (scores.rest, scores.high, scores.low)
        if shares > 1 and all(np.abs(part - 1 / shares).max() < _EVEN / shares for part in levels):
            return "softmax"
    return None
