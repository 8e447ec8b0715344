"""Rows that the graph selected itself: which column is the box, the score, the label, the image.

The probe tells them apart: a label is a whole number whatever the layers say, a score lies in
0..1 and moves, an image's index is 0 for one image, and a box's second corner follows its first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np

from edgecv_cli.detector.heads.queries import query_boxes
from edgecv_cli.detector.probing import Array
from edgecv_cli.detector.spec import BoxLayout, Role
from edgecv_cli.graph.facts import TailProbe

TABLES: Mapping[int, tuple[tuple[Role, ...], ...]] = {
    5: (("boxes", "score"),),
    6: (("boxes", "score", "label"), ("label", "score", "boxes"), ("boxes", "label", "score")),
    7: (
        ("image", "boxes", "label", "score"),
        ("image", "boxes", "score", "label"),
        ("image", "label", "score", "boxes"),
    ),
}
"""By columns, what a row holds: Ultralytics, Paddle and their likes; YOLOv7, YOLO-NAS, SSD's
DetectionOutput with the image's index; mmdeploy's box and score, labels apart."""
_WHOLE = 1e-3
_MOST = 100_000
_USUAL = 100  # classes


@dataclass(frozen=True)
class Column:
    """One column's values at rest, high, low and noise, each [rows]."""

    probes: tuple[Array, Array, Array, Array]
    whole_type: bool

    @cached_property
    def whole(self) -> bool:
        """Whether every value is a whole number."""
        return self.whole_type or all(
            np.abs(part - np.rint(part)).max(initial=0) < _WHOLE for part in self.probes
        )

    @property
    def zero(self) -> bool:
        """Whether every value is 0."""
        return all(not np.any(np.abs(part) > _WHOLE) for part in self.probes)

    @property
    def chance(self) -> bool:
        """Whether values lie in 0..1 and move as scores do."""
        rest, high, low, noise = self.probes
        inside = all(part.min(initial=0) >= -_WHOLE for part in self.probes)
        inside &= all(part.max(initial=0) <= 1 + _WHOLE for part in self.probes)
        rising = high.mean() >= rest.mean() - _WHOLE and rest.mean() >= low.mean() - _WHOLE
        return bool(inside and rising and not self.whole and noise.max() > _WHOLE)


@dataclass(frozen=True)
class Part:
    """An output of selected rows: its name, what its columns hold, and its axes."""

    name: str
    holds: tuple[Role, ...]
    axes: str


@dataclass(frozen=True)
class Corners:
    """Selected boxes: layout, whether in 0..1, and whether the layout was seen or is usual.

    The layout ``cxcywh`` has no corners, but a centre and sides.
    """

    layout: BoxLayout
    normalized: bool
    seen: bool


def axes_of(shape: Sequence[int | None], columns: int) -> str | None:
    """Return the axes of an output whose rows have so many columns (0: none of their own)."""
    inner = ",c" if columns else ""
    rank = len(shape) - bool(columns)
    return {1: f"n{inner}", 2: f"b,n{inner}"}.get(rank)


def columns_of(tail: TailProbe, name: str, columns: int) -> list[Column] | None:
    """Return an output's columns; None where it has no rows."""
    if name not in tail.noise:
        return None
    parts = [probe[name] for probe in (tail.rest, tail.high, tail.low, tail.noise)]
    if any(not part.size or part.size > _MOST or not np.isfinite(part).all() for part in parts):
        return None
    whole = bool(np.issubdtype(parts[0].dtype, np.integer))
    rows = [part.reshape(-1, max(1, columns)).astype(np.float64) for part in parts]
    return [
        Column((rows[0][:, i], rows[1][:, i], rows[2][:, i], rows[3][:, i]), whole)
        for i in range(max(1, columns))
    ]


def roles_of(columns: Sequence[Column]) -> Iterator[tuple[Role, ...]]:
    """Yield every known order of a table's columns that the probe supports."""
    for holds in TABLES.get(len(columns), ()):
        start = 0
        fits = True
        for role in holds:
            stop = start + (4 if role == "boxes" else 1)
            fits &= _plays(columns[start:stop], role)
            start = stop
        if fits:
            yield holds


def narrow_roles(
    columns: Mapping[str, Column], wanted: Sequence[Role]
) -> Iterator[dict[Role, str]]:
    """Yield every way in which outputs of one column play the wanted roles."""
    for names in permutations(columns, len(wanted)):
        if all(_plays([columns[n]], role) for n, role in zip(names, wanted, strict=True)):
            yield dict(zip(wanted, names, strict=True))


def _plays(columns: Sequence[Column], role: Role) -> bool:
    if role == "boxes":
        return corners_of(columns) is not None
    column = columns[0]
    if role == "image":
        return column.zero
    return column.whole if role == "label" else column.chance


def corners_of(columns: Sequence[Column]) -> Corners | None:
    """Work out how four columns say a box; None if they say none."""
    rest, high = (np.stack([column.probes[i] for column in columns]) for i in range(2))
    if all(column.whole for column in columns):
        return None
    centred = _centred(columns)
    if centred is not None:
        return centred
    unit = max(1e-6, float(np.abs(np.concatenate([rest, high], axis=1)).max()))
    for part in (rest, high):
        sides = part[2:] - part[:2]
        if sides.min() < -_WHOLE * unit:
            return None
    if (high[2:] - high[:2]).max() <= _WHOLE * unit:
        return None
    first, second = (_moves(rest[i] + rest[i + 2]) for i in range(2))
    seen = max(first, second) > 1.5 * min(first, second) + 1
    swapped = seen and first < second
    return Corners("yxyx" if swapped else "xyxy", bool(np.abs(rest).max() <= 2), seen)


def _centred(columns: Sequence[Column]) -> Corners | None:
    """Read centres and sides that are sigmoids (RT-DETR by Ultralytics), which end at 1 and 0."""
    rest, high, low = (np.stack([column.probes[i] for column in columns]) for i in range(3))
    found = query_boxes(rest, high, low, (1, 1))
    if found is None or found.relative or found.layout != "cxcywh":
        return None
    return Corners("cxcywh", normalized=True, seen=True)


def _moves(values: Array) -> int:
    """Count how often a value differs from the one before, by more than fp16 rounds."""
    return int((np.abs(np.diff(values)) > np.ptp(values) / 500).sum())


def class_count(tail: TailProbe, label: Column, score: str, column: int | None) -> int | None:
    """Return how many classes the layers behind the scores tell apart; None where it is open.

    Labels that count from 1 have the background, 0, counted in.

    Args:
        tail: the probe.
        label: the labels.
        score: the output with the scores; ``column``: which of its columns they are.
    """
    top = max(int(np.rint(part.max())) for part in label.probes)
    from_one = min(float(part.min()) for part in label.probes) >= 1
    found: set[int] = set()
    shared: set[int] = set()
    for head, shape in tail.heads.items():
        moved = tail.touched[head][score]
        if not (moved if column is None else moved[..., column]).any():
            continue
        channels = shape[1] if len(shape) == 4 else shape[-1]
        boxed = column is not None and tail.touched[head][score][..., :4].any()
        (shared if boxed else found).add(channels)
    for options in (found, found | shared):
        if top + 1 in options or (from_one and top in options):
            return top + 1
        if from_one:
            continue  # the background may be one of the channels or not
        fitting = sorted(channels for channels in options if channels > top)
        # more channels than that may be several anchors' of a cell
        if len(fitting) == 1 and (fitting[0] <= _USUAL or top + 1 > fitting[0] / 2):
            return fitting[0]
    return None
