"""Which columns of which outputs say what of which candidates, held against the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgecv_cli.core.boxes import FloatArray
from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.boxcode import Places, box_channels
from edgecv_cli.detector.grid import grid
from edgecv_cli.detector.rows import axis_sizes
from edgecv_cli.detector.spec import DetectorSpec, OutputTensor, Role


@dataclass(frozen=True)
class Columns:
    """A role's columns in one tensor: the tensor, which view of it, and the slice."""

    tensor: OutputTensor
    view: int
    columns: slice


@dataclass(frozen=True)
class Block:
    """Candidates whose roles lie in the same views."""

    roles: Mapping[Role, Columns]
    places: Places | None


def anchors_per_cell(spec: DetectorSpec, tensor: OutputTensor) -> int:
    """Return how many anchors a cell of a tensor has."""
    if not spec.anchors:
        return 1
    if tensor.stride in spec.strides:
        return len(spec.anchors[spec.strides.index(tensor.stride)])
    return len(spec.anchors[0])


def build_blocks(spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> list[Block]:
    """Group the tensors by stride, and say for each group where its roles lie.

    Raises:
        ModelError: the outputs contradict the spec.
    """
    if not spec.outputs.tensors:
        raise ModelError("the spec names no outputs", remedy="add `outputs` to --spec")
    named = {output.name: output for output in outputs}
    groups: dict[int | None, list[OutputTensor]] = {}
    for tensor in spec.outputs.tensors:
        groups.setdefault(tensor.stride, []).append(tensor)
    return [
        block
        for stride, tensors in groups.items()
        for block in _group(spec, stride, [(one, output_of(one, named)) for one in tensors])
    ]


def _group(
    spec: DetectorSpec, stride: int | None, tensors: Sequence[tuple[OutputTensor, TensorSpec]]
) -> list[Block]:
    """Return the blocks of one stride, or of all in one."""
    columns: dict[Role, list[Columns]] = {}
    counts: dict[str, tuple[int | None, int]] = {}
    for tensor, output in tensors:
        rows, views = _fit(tensor, output, spec)
        counts[str(output)] = (rows, views)
        for role, part in role_columns(tensor, spec).items():
            columns[role] = [Columns(tensor, view, part) for view in range(views)]
    missing = [role for role in ("boxes", "scores") if role not in columns]
    if missing or len({views for _, views in counts.values()}) > 1:
        raise ModelError(
            f"the spec's outputs give no {' and no '.join(missing) or 'matching rows'}"
            + ("" if stride is None else f" at stride {stride}"),
            remedy="correct `outputs` in --spec",
        )
    views = len(columns["boxes"])
    places = _placed(spec, stride, views, counts)
    return [
        Block(
            {role: parts[view] for role, parts in columns.items()},
            None if places is None else places[view],
        )
        for view in range(views)
    ]


def output_of(tensor: OutputTensor, outputs: Mapping[str, TensorSpec]) -> TensorSpec:
    """Return the output that the spec names.

    Raises:
        ModelError: the model has none of that name.
    """
    found = outputs.get(tensor.name)
    if found is None:
        raise ModelError(
            f"the detector spec reads output '{tensor.name}', but the model has: "
            f"{', '.join(outputs)}",
            remedy="correct `outputs` in --spec, or drop the spec to have the model recognised",
        )
    return found


def _fit(tensor: OutputTensor, output: TensorSpec, spec: DetectorSpec) -> tuple[int | None, int]:
    """Hold an output against the spec; returns rows of a view (None: open) and views."""
    # an open axis is taken as 0, which no network has: it is told from the known ones
    shape = [0 if size is None else size for size in output.shape]
    try:
        sizes = axis_sizes(shape, tensor.axes, anchors_per_cell(spec, tensor))
    except ValueError as error:
        raise ModelError(
            f"output {output} does not fit family {spec.family}: {error}", remedy="correct --spec"
        ) from error
    found, wanted = sizes["c"], sum(_width(role, spec) for role in tensor.holds)
    if found not in (0, wanted):
        raise ModelError(
            f"output {output} has {found} channels, but {len(spec.classes)} classes of family "
            f"{spec.family} need {wanted}",
            remedy="correct `classes` in --spec",
        )
    cells = [sizes[letter] for letter in "hwn" if letter in sizes]
    rows = int(np.prod(cells)) if cells else 1
    return rows or None, sizes.get("a", 1)


def _width(role: Role, spec: DetectorSpec) -> int:
    return {"boxes": box_channels(spec), "scores": len(spec.classes)}.get(role, 1)


def role_columns(tensor: OutputTensor, spec: DetectorSpec) -> dict[Role, slice]:
    """Return which columns of a tensor each role has, in the tensor's order."""
    columns: dict[Role, slice] = {}
    start = 0
    for role in tensor.holds:
        stop = start + _width(role, spec)
        columns[role] = slice(start, stop)
        start = stop
    return columns


def _placed(
    spec: DetectorSpec,
    stride: int | None,
    views: int,
    counts: Mapping[str, tuple[int | None, int]],
) -> list[Places] | None:
    """Return where the rows of every view sit; None where boxes come decoded.

    Raises:
        ModelError: there are more or fewer rows than cells.
    """
    known = {rows for rows, _ in counts.values() if rows is not None}
    if len(known) > 1:
        raise ModelError(
            f"outputs {' and '.join(counts)} hold different numbers of candidates",
            remedy="correct `outputs` in --spec",
        )
    if spec.code == "none":
        return None
    strides = spec.strides if stride is None else (stride,)
    if not strides:
        raise ModelError(
            f"code {spec.code} needs the strides of its cells", remedy="add `strides` to --spec"
        )
    placed = _all_places(spec, strides, views)
    expected = len(placed[0].cells)
    if known and known != {expected}:
        words = "/".join(str(step) for step in strides)
        raise ModelError(
            f"output {' and '.join(counts)} has {known.pop()} candidates, but strides {words} at "
            f"{spec.input.size[0]}x{spec.input.size[1]} have {expected} cells",
            remedy="correct `strides`, `anchors` or `input: size` in --spec",
        )
    return placed


def _all_places(spec: DetectorSpec, strides: tuple[int, ...], views: int) -> list[Places]:
    """One entry a view: an anchor where anchors have an axis of their own, else all of them."""
    parts: list[list[Places]] = [[] for _ in range(views)]
    for stride in strides:
        cells, steps = grid(spec.input.size, (stride,), even=spec.even_cells)
        anchors = _anchors_of(spec, stride)
        for view, part in enumerate(parts):
            chosen = anchors[view : view + 1] if views > 1 else anchors
            part.append(_repeated(cells, steps, chosen, anchors_first=spec.anchors_first))
    joined = [Places.join(part) for part in parts]
    return [place for place in joined if place is not None]


def _anchors_of(spec: DetectorSpec, stride: int) -> FloatArray:
    """Return float32 [A, 2]; one of no size where the family has none."""
    if not spec.anchors:
        return np.zeros((1, 2), np.float32)
    if len(spec.anchors) != len(spec.strides):
        raise ModelError(
            f"{len(spec.anchors)} rows of anchors for {len(spec.strides)} strides",
            remedy="give one row of [width, height] pairs per stride in --spec `anchors`",
        )
    return np.asarray(spec.anchors[spec.strides.index(stride)], np.float32)


def _repeated(
    cells: FloatArray, steps: FloatArray, anchors: FloatArray, *, anchors_first: bool
) -> Places:
    count, many = len(cells), len(anchors)
    if anchors_first:
        rows, which = np.tile(np.arange(count), many), np.repeat(np.arange(many), count)
    else:
        rows, which = np.repeat(np.arange(count), many), np.tile(np.arange(many), count)
    return Places(cells[rows], steps[rows], anchors[which])
