"""Plans for any target, from ranges of every tensor that a plain run of the model shows."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from edgecv_cli.compress.quantization.grids import implied_clamps, make_grids, planned
from edgecv_cli.compress.quantization.placement import place
from edgecv_cli.compress.quantization.plan import LayerPlan, QuantizePlan
from edgecv_cli.compress.quantization.statistics import Histogram, Observations, TensorStats


def session(model, *, exact=False):
    """Open a model in ONNX Runtime; ``exact`` runs QDQ as written, in float."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_quant_qdq", "1" if exact else "0")
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def seen(topology, images):
    """Observations of every float tensor over arrays for the first input."""
    inferred = onnx.shape_inference.infer_shapes(topology.model).graph
    made = {name for node in topology.model.graph.node for name in node.output if name}
    kept = [
        value
        for value in inferred.value_info
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and value.name in made
    ]
    model = onnx.ModelProto()
    model.CopyFrom(topology.model)
    model.graph.output.extend(kept)
    runner = session(model)
    first = runner.get_inputs()[0].name
    names = [value.name for value in runner.get_outputs()]
    lows: dict[str, list[float]] = {}
    highs: dict[str, list[float]] = {}
    for image in images:
        values = dict(zip(names, runner.run(names, {first: image}), strict=True))
        for name, value in {**values, first: image}.items():
            if value.dtype == np.float32 and value.size:
                lows.setdefault(name, []).append(float(value.min()))
                highs.setdefault(name, []).append(float(value.max()))
    flat = Histogram(np.ones(1, np.int64), 0.0, 1.0)
    tensors = {
        name: TensorStats(
            float(np.mean(lows[name])), float(np.mean(highs[name])),
            min(lows[name]), max(highs[name]), flat,
        )
        for name in lows
    }  # fmt: skip
    return Observations(len(lows[first]), tensors, {})


def plan_for(topology, observed, rules, placement="all"):
    """The plan of a placement under a target's rules, by min-max ranges."""
    placed = place(topology, placement, glue=rules.glue)
    grids = make_grids(
        topology, placed.nodes, observed,
        estimator="minmax", percentile=99.99, kind=rules.grids, glue=rules.glue,
    )  # fmt: skip
    layers = [name for name in placed.nodes if name in topology.layers]
    return QuantizePlan(
        source="", target=rules.name, placement=placement, estimator="minmax",
        bias_correction=False, nodes=placed.nodes, bias=rules.bias,
        dropped=implied_clamps(topology, placed.nodes), grids=planned(grids),
        layers={name: LayerPlan(bits=8, sums=rules.sums) for name in layers},
        reasons=placed.reasons,
    )  # fmt: skip
