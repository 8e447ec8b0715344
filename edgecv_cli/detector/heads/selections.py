"""Which outputs of a graph are boxes that it selected itself, by probe or by signature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecv_cli.detector.heads.selected import (
    TABLES,
    Column,
    Corners,
    Part,
    axes_of,
    class_count,
    columns_of,
    corners_of,
    narrow_roles,
    roles_of,
)
from edgecv_cli.detector.metadata import export_notes
from edgecv_cli.detector.probing import shapes_of
from edgecv_cli.detector.spec import Role
from edgecv_cli.graph.facts import GraphFacts, TailProbe

Shape = tuple[int | None, ...]
_USUAL = Corners("xyxy", normalized=False, seen=False)
_TENSORFLOW = Corners("yxyx", normalized=True, seen=False)
_SELECTS = ("NonMaxSuppression", "EfficientNMS_TRT", "BatchedNMS_TRT", "BatchedNMSDynamic_TRT")


@dataclass(frozen=True)
class Selection:
    """Outputs read as selected boxes.

    Attributes:
        parts: the outputs and what they hold.
        corners: how a box is said.
        classes: how many labels there are; None where that can't be seen.
        from_one: whether labels count from 1, because 0 is the background.
        evidence: what was seen.
    """

    parts: tuple[Part, ...]
    corners: Corners
    classes: int | None
    from_one: bool
    evidence: tuple[str, ...]

    def told(self) -> dict[str, Any]:
        """Return the spec's ``outputs`` that decides for this reading."""
        if any("boxes" in part.holds and "label" in part.holds for part in self.parts):
            return {"all": self.parts[0].name, "layout": list(self.parts[0].holds)}
        return {
            "all" if len(part.holds) > 1 else part.holds[0]: part.name
            for part in self.parts
            if "count" not in part.holds
        }


def probed_selections(facts: GraphFacts) -> Iterator[Selection]:
    """Yield every reading that the probe supports."""
    tail = facts.tail
    assert tail is not None
    shapes = shapes_of(facts)
    for name, shape in shapes.items():
        width = shape[-1] if len(shape) in (2, 3) else None
        columns = columns_of(tail, name, width) if width and 4 <= width <= 7 else None
        if columns is None or width is None:
            continue
        if width in (6, 7):
            yield from _tables(tail, name, shape, columns, shapes)
        else:
            yield from _apart(tail, name, shape, columns, shapes)


def _tables(
    tail: TailProbe,
    name: str,
    shape: Shape,
    columns: Sequence[Column],
    shapes: Mapping[str, Shape],
) -> Iterator[Selection]:
    axes = axes_of(shape, len(columns))
    if axes is None:
        return
    for holds in roles_of(columns):
        at = _offsets(holds)
        label, score = columns[at["label"]], columns[at["score"]]
        corners = corners_of(columns[at["boxes"] : at["boxes"] + 4])
        assert corners is not None
        parts = (Part(name, holds, axes), *_counts(tail, {name}, shape, shapes))
        rows = f"output '{name}' {_sizes(shape)}: rows of {_listed(holds)}"
        yield Selection(
            parts,
            corners,
            class_count(tail, label, name, at["score"]),
            _least(label) >= 1,
            (rows, *_seen(label, score, corners)),
        )


def _apart(
    tail: TailProbe,
    name: str,
    shape: Shape,
    columns: Sequence[Column],
    shapes: Mapping[str, Shape],
) -> Iterator[Selection]:
    corners, axes = corners_of(columns[:4]), axes_of(shape, len(columns))
    holds: tuple[Role, ...] = ("boxes", "score") if len(columns) == 5 else ("boxes",)
    if corners is None or axes is None or not (len(columns) == 4 or columns[4].chance):
        return
    narrow = {}
    for other in _narrow(shape, shapes):
        found = columns_of(tail, other, 1)
        if found is not None:
            narrow[other] = found[0]
    wanted: tuple[Role, ...] = ("label",) if "score" in holds else ("score", "label")
    for roles in narrow_roles(narrow, wanted):
        label = narrow[roles["label"]]
        score = columns[4] if "score" in holds else narrow[roles["score"]]
        scored = (name, 4) if "score" in holds else (roles["score"], None)
        others = tuple(_narrow_part(role, other, shapes) for role, other in roles.items())
        used = {name, *roles.values()}
        parts = (Part(name, holds, axes), *others, *_counts(tail, used, shape, shapes))
        if not corners.seen and corners.normalized and _least(label) >= 1 and not label.whole_type:
            corners = _TENSORFLOW
        rows = ", ".join(f"'{p.name}' {_sizes(shapes[p.name])} {_listed(p.holds)}" for p in parts)
        yield Selection(
            parts,
            corners,
            class_count(tail, label, *scored),
            _least(label) >= 1,
            (f"outputs hold one row a selected box: {rows}", *_seen(label, score, corners)),
        )


def _offsets(holds: Sequence[Role]) -> dict[Role, int]:
    offsets, start = {}, 0
    for role in holds:
        offsets[role] = start
        start += 4 if role == "boxes" else 1
    return offsets


def _narrow(shape: Shape, shapes: Mapping[str, Shape]) -> list[str]:
    """Return the outputs of one number a row."""
    rows = tuple(shape[:-1])
    return [name for name, other in shapes.items() if tuple(other) in (rows, (*rows, 1))]


def _narrow_part(role: Role, name: str, shapes: Mapping[str, Shape]) -> Part:
    shape = shapes[name]
    column = len(shape) > 1 and shape[-1] == 1 and len(shape) == 3
    return Part(name, (role,), axes_of(shape, 1 if column else 0) or "n")


def _counts(
    tail: TailProbe | None, used: set[str], shape: Shape, shapes: Mapping[str, Shape]
) -> Iterator[Part]:
    """Yield the output that says how many rows are boxes: one whole number an image."""
    batch = shape[0] if len(shape) == 3 else 1
    for name, other in shapes.items():
        single = other in ((batch,), (batch, 1)) or other in ((None,), (None, 1))
        if name in used or not single:
            continue
        if tail is not None:
            found = columns_of(tail, name, 1)
            if found is None or not found[0].whole:
                continue
        yield Part(name, ("count",), "b" if len(other) == 1 else "b,c")
        return


def _least(label: Column) -> float:
    return min(float(part.min()) for part in label.probes)


def _seen(label: Column, score: Column, corners: Corners) -> tuple[str, str]:
    top = max(float(part.max()) for part in label.probes)
    noise = score.probes[3]
    falling = bool((np.diff(noise) <= 0).all())
    first = (
        f"labels read whole numbers {_least(label):.0f} to {top:.0f} whatever the layers say; "
        f"scores lie in {noise.min():.2f}..{noise.max():.2f}"
        f"{' and fall from row to row' if falling else ''}"
    )
    unit = "0..1" if corners.normalized else "pixels"
    if corners.layout == "cxcywh":
        return (
            first,
            f"boxes end at 1 and 0 like sigmoids, as centres and sides do: cxcywh in {unit}",
        )
    order = "x moves more often than y" if corners.seen else "their order is the usual one"
    return first, f"the second corner never precedes the first, {order}: {corners.layout} in {unit}"


def _listed(holds: Sequence[Role]) -> str:
    return ", ".join(holds)


def _sizes(shape: Shape) -> str:
    return "[" + ",".join("?" if size is None else str(size) for size in shape) + "]"


def signed_selections(facts: GraphFacts) -> Iterator[Selection]:
    """Yield the readings of a graph that can't be probed whose signature is like no other."""
    types = {output.name: output.dtype for output in facts.outputs}
    shapes = {output.name: output.shape for output in facts.outputs}
    for name, shape in shapes.items():
        width = shape[-1] if len(shape) in (2, 3) else None
        if width in (6, 7) and types[name].startswith("float"):
            yield from _signed_tables(facts, name, shape, shapes)
        if width in (4, 5) and types[name].startswith("float"):
            yield from _signed_apart(facts, name, shape, shapes, types)


def _signed_tables(
    facts: GraphFacts, name: str, shape: Shape, shapes: Mapping[str, Shape]
) -> Iterator[Selection]:
    whole = {o.name for o in facts.outputs if not o.dtype.startswith("int")}
    counts = tuple(_counts(None, whole, shape, shapes))
    orders = TABLES[int(shape[-1] or 0)]
    if shape[-1] == 6:
        exported = export_notes(facts.metadata).names is not None and len(shape) == 3
        orders = orders[1:2] if counts else orders[:1] if exported else ()
    elif len(shape) != 2:
        return
    for holds in orders if _selects(facts) else ():
        parts = (Part(name, holds, axes_of(shape, shape[-1] or 0) or "n,c"), *counts)
        yield _signed(parts, facts, _USUAL)


def _signed_apart(
    facts: GraphFacts,
    name: str,
    shape: Shape,
    shapes: Mapping[str, Shape],
    types: Mapping[str, str],
) -> Iterator[Selection]:
    narrow = _narrow(shape, shapes)
    whole = [other for other in narrow if types[other].startswith("int")]
    real = [other for other in narrow if types[other].startswith("float")]
    scored = shape[-1] == 5
    if len(whole) == 1 and len(real) == (0 if scored else 1):
        pairs = [(None if scored else real[0], whole[0])]
    elif not whole and len(real) == 2 and not scored and _selects(facts):
        pairs = [(real[0], real[1]), (real[1], real[0])]
    else:
        return
    holds: tuple[Role, ...] = ("boxes", "score") if scored else ("boxes",)
    for score, label in pairs:
        parts = [Part(name, holds, axes_of(shape, shape[-1] or 0) or "n,c")]
        if score is not None:
            parts.append(_narrow_part("score", score, shapes))
        parts.append(_narrow_part("label", label, shapes))
        used = {part.name for part in parts}
        parts += _counts(None, used, shape, shapes)
        plugin = any(facts.op_counts.get(kind) for kind in _SELECTS[1:])
        real_labels = not whole and not plugin
        yield _signed(tuple(parts), facts, _TENSORFLOW if real_labels else _USUAL)


def _selects(facts: GraphFacts) -> bool:
    return any(facts.op_counts.get(kind) for kind in _SELECTS)


def _signed(parts: tuple[Part, ...], facts: GraphFacts, corners: Corners) -> Selection:
    named = {output.name: str(output) for output in facts.outputs}
    rows = "; ".join(f"{named[part.name]} {_listed(part.holds)}" for part in parts)
    alone = all("b" not in part.axes for part in parts) and len(parts) == 3
    kinds = ", ".join(kind for kind in _SELECTS if facts.op_counts.get(kind))
    words = f"read by types and shapes alone, because {facts.tail_problem}: {rows}"
    seen = (words, *((f"the graph selects by {kinds}",) if kinds else ()))
    return Selection(parts, corners, None, alone or corners.normalized, seen)


def told_selections(facts: GraphFacts, told: Mapping[str, Any]) -> Iterator[Selection]:
    """Yield what the user's ``outputs`` say, or else the first outputs whose shapes fit."""
    shapes = shapes_of(facts)
    evidence = ("family end2end: as told",)
    for name, shape in shapes.items():
        columns = shape[-1] if len(shape) in (2, 3) else None
        if columns is None or columns not in TABLES:
            continue
        if told.get("all", name) != name or "boxes" in told:
            continue
        holds = tuple(told.get("layout", TABLES[columns][0]))
        label = _narrow(shape, shapes) if columns == 5 else []
        axes = axes_of(shape, columns)
        if axes is None or (columns == 5 and not label):
            continue
        parts = [Part(name, holds, axes)]
        parts += [_narrow_part("label", told.get("label", other), shapes) for other in label[:1]]
        yield Selection(tuple(parts), _USUAL, None, False, evidence)
    for name, shape in shapes.items():
        if len(shape) not in (2, 3) or shape[-1] != 4 or told.get("boxes", name) != name:
            continue
        others = _narrow(shape, shapes)
        score = told.get("score", next((o for o in others if o != told.get("label")), None))
        label_name = told.get("label", next((o for o in others if o != score), None))
        if score in shapes and label_name in shapes:
            parts = [Part(name, ("boxes",), axes_of(shape, 4) or "n,c")]
            parts.append(_narrow_part("score", str(score), shapes))
            parts.append(_narrow_part("label", str(label_name), shapes))
            yield Selection(tuple(parts), _USUAL, None, False, evidence)
