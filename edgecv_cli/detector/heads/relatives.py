"""Networks that look like detectors and are something else: named, and refused."""

from __future__ import annotations

import numpy as np

from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.detector.heads.selected import columns_of
from edgecv_cli.detector.heads.views import GridView
from edgecv_cli.detector.probing import shapes_of
from edgecv_cli.graph.facts import GraphFacts

_REMEDY = "export the detection model of the family (task detect): edgecv reads boxes and classes"

_WIDEST = 512  # columns: 17 key points have 57, 32 mask coefficients 38

TASKS = {
    "segment": "a segmentation model",
    "pose": "a pose model",
    "obb": "a model of oriented boxes",
    "classify": "an image classifier",
}


def refuse(what: str, seen: str) -> UnrecognisedError:
    """Return the refusal of a network that is ``what``, because of what was ``seen``."""
    return UnrecognisedError(f"the model looks like {what}: {seen}", remedy=_REMEDY)


def refuse_classifier(facts: GraphFacts) -> None:
    """Refuse a network whose only output is one vector of scores.

    Raises:
        UnrecognisedError: it is one.
    """
    shapes = shapes_of(facts)
    if len(shapes) != 1:
        return
    (name, shape), *_ = shapes.items()
    vector = [size for size in shape[1:] if size != 1]
    if len(shape) >= 2 and len(vector) == 1 and vector[0] is not None:
        raise refuse(TASKS["classify"], f"its only output '{name}' is {vector[0]} scores an image")


def refuse_relative(view: GridView, facts: GraphFacts, classes: int) -> None:
    """Refuse a YOLOv8-like output that has channels beyond boxes and ``classes`` scores.

    Raises:
        UnrecognisedError: they are mask coefficients, key points or an angle.
    """
    assert view.channels is not None
    extra = view.count - 4 - classes
    after = f"{extra} channels follow 4 of boxes and {classes} of scores in '{view.output}'"
    for name, shape in shapes_of(facts).items():
        if len(shape) == 4 and shape[1] == extra:
            raise refuse(
                TASKS["segment"], f"{after}, and output '{name}' holds {extra} mask prototypes"
            )
    rest = view.channels.rest[4 + classes :]
    # a sigmoid's turn, or since YOLO26 the layer's plain value
    if extra == 1 and np.ptp(rest) < 1e-3 and view.channels.kind(view.count - 1) != "sigmoid":
        raise refuse(TASKS["obb"], f"{after}, an angle of {rest.mean():.2f} at rest")
    # points at rest follow the cells: x grows along a row, y down the rows
    if extra >= 4 and all(np.ptp(row) > view.strides[0] for row in rest[:2]):
        size = 3 if extra % 3 == 0 else 2
        raise refuse(TASKS["pose"], f"{after}, {extra // size} key points that follow the cells")


def refuse_selected(facts: GraphFacts) -> None:
    """Refuse rows of box, score and label that go on (Ultralytics' exports with NMS inside).

    Raises:
        UnrecognisedError: mask coefficients, key points or an angle follow.
    """
    shapes = shapes_of(facts)
    for name, shape in shapes.items():
        width = shape[-1] if len(shape) == 3 else None
        if facts.tail is None or width is None or not 7 <= width <= _WIDEST:
            continue
        columns = columns_of(facts.tail, name, width)
        if columns is None or not (columns[4].chance and columns[5].whole):
            continue
        if any(column.whole for column in (*columns[:4], *columns[6:])):
            continue
        extra = width - 6
        after = f"{extra} columns follow box, score and label in the rows of '{name}'"
        masks = any(len(other) == 4 and other[1] == extra for other in shapes.values())
        task = "segment" if masks else "obb" if extra == 1 else "pose"
        raise refuse(TASKS[task], after)
