"""Feature maps of a teacher as hints for a student of fewer or as many channels.

The student's map goes through a 1x1 convolution where the teacher's has other channels; it is
trained with the student and then thrown away (Romero et al. 2015, "FitNets: Hints for Thin Deep
Nets"). Maps are paired by name and size, those that a convolution of stride 2 or a head reads: the
ends of a network's stages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgecv_cli.graph.shapes import infer_shapes
from edgecv_cli.graph.topology import Topology

_PREFIX = "edgecv.hint/"
_WEIGHT = 2.0  # of all hints together, where boxes and scores count for 1
_FLOOR = 0.1  # of the mean variance, for channels that hardly vary
_SMALL = 1e-8


@dataclass(frozen=True)
class Hints:
    """A student with what it says of its teacher's feature maps.

    Attributes:
        student: it, with further convolutions that nothing reads.
        pairs: the teacher's map -> what the student makes of it.
    """

    student: onnx.ModelProto = field(repr=False)
    pairs: Mapping[str, str]


def hinted(student: onnx.ModelProto, teacher: onnx.ModelProto, seed: int) -> Hints:
    """Return a student with hints; ``pairs`` is empty where no map has its like.

    Args:
        student, teacher: normalised; not changed.
        seed: of the 1x1 convolutions.
    """
    own, theirs = infer_shapes(student), infer_shapes(teacher)
    model, pairs = onnx.ModelProto(), {}
    model.CopyFrom(student)
    rng = np.random.default_rng(seed)
    for name in _ends(Topology.of(student)):
        shape, asked = own.get(name), theirs.get(name)
        if shape is None or asked is None or len(shape) != 4 or shape[2:] != asked[2:]:
            continue
        fewer, all_ = shape[1], asked[1]
        if fewer is None or all_ is None:
            continue
        if fewer == all_:
            pairs[name] = name
            continue
        pairs[name] = f"{_PREFIX}{name}"
        weight = rng.normal(0, fewer**-0.5, (all_, fewer, 1, 1)).astype(np.float32)
        bias = np.zeros(all_, np.float32)
        stored = [f"{pairs[name]}/weight", f"{pairs[name]}/bias"]
        for key, value in zip(stored, (weight, bias), strict=True):
            model.graph.initializer.append(numpy_helper.from_array(value, key))
        model.graph.node.append(helper.make_node("Conv", [name, *stored], [pairs[name]]))
    return Hints(model, pairs)


def _ends(topology: Topology) -> dict[str, None]:
    """Return the maps that a convolution of stride 2 or a head reads, in graph order."""
    found: dict[str, None] = {}
    for name, layer in topology.layers.items():
        strides = next(
            (one.ints for one in topology.nodes[name].attribute if one.name == "strides"), ()
        )
        known = layer.data in topology.producer and layer.data not in topology.heads
        if known and (name in topology.heads or max(strides, default=1) > 1):
            found[layer.data] = None
    return found


class HintLoss:
    """How far a student's hints are from its teacher's feature maps.

    Squared error of each map over its variance, channel by channel, averaged.

    Args:
        torch: the module.
        pairs: the teacher's map -> what the student makes of it.
        seen: the teacher's maps of some images, for their variance.
    """

    def __init__(
        self, torch: ModuleType, pairs: Mapping[str, str], seen: Iterable[Mapping[str, Any]]
    ) -> None:
        self._torch, self._pairs, self._spread = torch, pairs, {}
        made = list(seen)
        for name in pairs:
            stacked = torch.cat([one[name].detach() for one in made])
            own = stacked.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
            self._spread[name] = torch.clamp(own, min=_FLOOR * own.mean() + _SMALL)

    def __call__(self, made: Mapping[str, Any], wanted: Mapping[str, Any]) -> Any:
        """Return what is added to a loss, a tensor of one number."""
        parts = [
            ((made[ours].float() - wanted[name].float()).square() / self._spread[name]).mean()
            for name, ours in self._pairs.items()
        ]
        return _WEIGHT * self._torch.stack(parts).mean()
