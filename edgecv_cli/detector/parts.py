"""A network's outputs by what they mean: boxes apart from scores, where one tensor holds both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.detector.blocks import anchors_per_cell, role_columns
from edgecv_cli.detector.rows import rows_of
from edgecv_cli.detector.spec import DetectorSpec


def parts_of(spec: DetectorSpec, outputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Split outputs that hold several roles; others stay whole, under their own names.

    Boxes in pixels and scores in 0..1 must not be measured together: what would be a whole
    score's error is a small one of a box.

    Args:
        spec: which columns are what.
        outputs: as a runner gives them.

    Returns:
        ``NAME`` or ``NAME, ROLE`` to an array; of a role [views * B, N, columns].
    """
    found = dict(outputs)
    for tensor in spec.outputs.tensors:
        whole = outputs.get(tensor.name)
        if whole is None or len(tensor.holds) < 2:
            continue
        try:
            views = rows_of(whole, tensor.axes, anchors_per_cell(spec, tensor))
        except ValueError:  # of another shape than the spec has it: compared as it is
            continue
        del found[tensor.name]
        for role, columns in role_columns(tensor, spec).items():
            part = np.concatenate([view[..., columns] for view in views])
            found[f"{tensor.name}, {role}"] = part
    return found
