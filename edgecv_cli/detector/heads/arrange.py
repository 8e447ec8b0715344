"""The axes of outputs that a user names: worked out from shapes, or asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgecv_cli.core.errors import ConfigError
from edgecv_cli.detector.boxcode import box_channels
from edgecv_cli.detector.grid import cell_count
from edgecv_cli.detector.heads.levels import ANCHORED, PLAIN
from edgecv_cli.detector.rows import axis_sizes
from edgecv_cli.detector.spec import DetectorSpec, OutputTensor, Role

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Wanted:
    """What named outputs must fit.

    Attributes:
        known: the spec as told, without outputs.
        classes: how many names are told, or None.
        background: the told background's index, or None.
        shapes: every output's shape.
    """

    known: DetectorSpec
    classes: int | None
    background: int | None
    shapes: Mapping[str, Shape]

    def counts(self) -> tuple[int, ...]:
        """Return the numbers of scores that the told names allow; none told, none returned."""
        if self.classes is None:
            return ()
        # names may leave the background out
        return (self.classes,) if self.background is None else (self.classes, self.classes + 1)


@dataclass(frozen=True)
class _Fit:
    axes: str
    stride: int | None
    scores: int | None
    rows: int


def arranged(
    groups: Sequence[tuple[tuple[Role, ...], Sequence[str]]], wanted: Wanted
) -> tuple[list[OutputTensor], int]:
    """Return outputs with their axes and strides, and how many scores a candidate has.

    Raises:
        ConfigError: an output is not there, its shape contradicts what is told, or leaves the
            order of its axes open.
    """
    tensors: list[OutputTensor] = []
    scores: int | None = None
    for roles, names in groups:
        apart = len(names) > 1
        if apart and len(names) != len(wanted.known.strides):
            raise ConfigError(
                f"detector spec, outputs: {len(names)} outputs of {', '.join(roles)} for "
                f"{len(wanted.known.strides)} strides",
                remedy="name one output per stride, or one for all, and list `strides`",
            )
        for index, name in enumerate(names):
            fit = _fit(name, roles, wanted, index if apart else None)
            scores = fit.scores if fit.scores is not None else scores
            tensors.append(OutputTensor(name=name, holds=roles, axes=fit.axes, stride=fit.stride))
    assert scores is not None
    return tensors, scores


def _fit(name: str, roles: tuple[Role, ...], wanted: Wanted, level: int | None) -> _Fit:
    shape = wanted.shapes.get(name)
    if shape is None:
        raise ConfigError(
            f"detector spec, outputs: the model has no output '{name}', but "
            f"{', '.join(wanted.shapes)}",
            remedy="correct `outputs` in --spec",
        )
    shown = f"'{name}' [{','.join('?' if size is None else str(size) for size in shape)}]"
    found = list(_fits(shape, roles, wanted, level))
    if not found:
        raise ConfigError(
            f"detector spec, outputs: {shown} can't hold {', '.join(roles)}: "
            f"{_needs(roles, wanted)}",
            remedy="correct `classes`, `strides`, `anchors`, `reg_max` or `outputs` in --spec",
        )
    most = max(fit.rows for fit in found)
    best = [fit for fit in found if fit.rows == most]
    if len(best) > 1:
        listed = " or ".join(f"axes: '{fit.axes}'" for fit in best)
        raise ConfigError(
            f"detector spec, outputs: {shown} can be read in {len(best)} ways: {listed}",
            remedy=f"write `outputs: {{tensors: [{{name: {name}, holds: [{', '.join(roles)}], "
            f"{listed.split(' or ')[0]}}}]}}`, or another of them, into --spec",
        )
    return best[0]


def _needs(roles: tuple[Role, ...], wanted: Wanted) -> str:
    known = wanted.known
    parts = [f"{box_channels(known)} of boxes"] if "boxes" in roles else []
    if "objectness" in roles:
        parts.append("1 of objectness")
    if "scores" in roles:
        counts = " or ".join(str(count) for count in wanted.counts()) or "some"
        parts.append(f"{counts} of scores")
    words = f"a candidate has channels: {', '.join(parts)}"
    if known.strides:
        cells = [cell_count(known.input.size, (stride,)) for stride in known.strides]
        per = f" x {len(known.anchors[0])} anchors" if known.anchors else ""
        words += (
            f"; strides {'/'.join(map(str, known.strides))} at {known.input.size[0]}x"
            f"{known.input.size[1]} have {'+'.join(map(str, cells))} cells{per}"
        )
    return words


def _fits(
    shape: Shape, roles: tuple[Role, ...], wanted: Wanted, level: int | None
) -> Iterator[_Fit]:
    known = wanted.known
    anchors = len(known.anchors[0]) if known.anchors else 1
    sizes_known = [0 if size is None else size for size in shape]
    orders = (*PLAIN, *ANCHORED) if anchors > 1 else PLAIN
    for axes in orders:
        if "an" in axes.split(",") or "na" in axes.split(","):
            continue  # the same rows as n alone: `anchors_first` says their order
        try:
            sizes = axis_sizes(sizes_known, axes, anchors)
        except ValueError:
            continue
        if sizes.get("b", 1) > 1 and sizes["b"] != next(
            (size for size in (s[0] for s in wanted.shapes.values() if s) if size), 1
        ):
            continue
        if sizes.get("a", anchors) not in (0, anchors):
            continue
        scores = _scores(sizes["c"], roles, wanted)
        if scores is False:
            continue
        for stride in _strides(sizes, wanted, level, anchors):
            rows = math.prod(sizes[letter] for letter in "hwna" if letter in sizes)
            yield _Fit(axes, stride, None if scores is None else int(scores), rows)
            break


def _scores(channels: int, roles: tuple[Role, ...], wanted: Wanted) -> int | bool | None:
    """Return how many scores so many channels leave; None: none are held; False: it can't be."""
    widths = {"boxes": box_channels(wanted.known)}
    fixed = sum(widths.get(role, 1) for role in roles if role != "scores")
    if "scores" not in roles:
        return None if channels in (0, fixed) else False
    left = channels - fixed
    counts = wanted.counts()
    return left if left > 0 and (not counts or left in counts) else False


def _strides(
    sizes: Mapping[str, int], wanted: Wanted, level: int | None, anchors: int
) -> Iterator[int | None]:
    """Yield the strides whose cells the rows are; None for all of them in one."""
    known = wanted.known
    inside = anchors if "a" not in sizes else 1  # anchors among the rows
    if level is None and "n" in sizes:
        cells = cell_count(known.input.size, known.strides) if known.strides else 0
        rows = sizes["n"]
        if (
            not rows
            or not cells
            or rows == cells * inside
            or (known.code == "none" and rows % cells == 0)
        ):
            yield None
        return
    ordered = (
        known.strides if level is None else (known.strides[level], *known.strides)
    )  # the told order first
    for stride in dict.fromkeys(ordered):
        tall, wide = (-(-side // stride) for side in known.input.size)
        if "n" in sizes:
            fits = sizes["n"] in (0, tall * wide * inside)
        else:
            fits = sizes["h"] in (0, tall) and sizes["w"] in (0, wide)
        if fits:
            yield stride
