"""A spec to paste, for a graph that no family claims and whose outputs look like a detector's."""

from __future__ import annotations

from collections.abc import Mapping

from edgecv_cli.detector.heads.levels import PLAIN
from edgecv_cli.detector.heads.queries import applied_to
from edgecv_cli.detector.heads.selections import Selection, told_selections
from edgecv_cli.detector.heads.views import grid_views
from edgecv_cli.detector.probing import channels_of, grid_boxes, shapes_of
from edgecv_cli.graph.facts import GraphFacts

_FEW = 2000  # rows: above, they were not selected
_SELECTING = ("NonMaxSuppression", "TopK", "EfficientNMS_TRT", "BatchedNMSDynamic_TRT")


def offer(facts: GraphFacts) -> str | None:
    """Return a whole spec in one line of YAML, or None if the shapes suggest none.

    Names and orders come from shapes; what no shape shows is written as its usual value.
    """
    shapes = shapes_of(facts)
    if any(facts.op_counts.get(kind) for kind in _SELECTING):
        for selection in told_selections(facts, {}):
            return _selected(selection)
    pair = _pair(shapes)
    if pair is not None:
        return _generic(facts, *pair)
    return None


def _selected(selection: Selection) -> str:
    told = ", ".join(f"{key}: {_written(value)}" for key, value in selection.told().items())
    return f"{{family: end2end, outputs: {{{told}}}, classes: coco80}}"


def _written(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(str(part) for part in value)}]"
    return f"'{value}'" if str(value).isdigit() else str(value)


def _pair(shapes: Mapping[str, tuple[int | None, ...]]) -> tuple[str, str, str] | None:
    """Return outputs that can be boxes and scores of as many candidates, and their axes."""
    for axes in PLAIN[:2]:
        rows, columns = axes.split(",").index("n"), axes.split(",").index("c")
        for boxes, first in shapes.items():
            for scores, second in shapes.items():
                if boxes == scores or len(first) != 3 or len(second) != 3:
                    continue
                if first[columns] == 4 and first[rows] == second[rows] and second[columns]:
                    return boxes, scores, axes
    return None


def _generic(facts: GraphFacts, boxes: str, scores: str, axes: str) -> str:
    lines = [
        "family: generic",
        f"outputs: {{boxes: {_written(boxes)}, scores: {_written(scores)}}}",
    ]
    layout, normalized, applied = "xyxy", False, "none"
    if facts.tail is not None and facts.input_size is not None:
        seen = channels_of(facts.tail, scores, axes)
        if seen is not None and applied_to(seen) == "none":
            applied = "sigmoid"
        found = channels_of(facts.tail, boxes, axes)
        for view in grid_views(facts):
            if found is None or view.output != boxes or view.candidates != found.rest.shape[1]:
                continue
            lattice = grid_boxes(found.rest, view.strides, facts.input_size)
            if lattice is not None:
                layout, normalized = lattice.layout, lattice.normalized
                break
    lines += [f"boxes: {layout}"]
    lines += ["normalized: true"] if normalized else []
    lines += [f"activations: {applied}"] if applied != "none" else []
    return f"{{{', '.join(lines)}}}"
