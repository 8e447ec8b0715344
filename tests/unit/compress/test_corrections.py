"""Bias correction and adaptive rounding, in order, on the graph as it will be."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.corrections import correct, shrunk
from edgecv_cli.compress.quantization.plan import GridPlan, LayerPlan, QuantizePlan
from edgecv_cli.compress.walk import exact_opener
from edgecv_cli.core.context import Context
from edgecv_cli.graph.topology import Topology

SIZE = 16


def build(*, depthwise=True):
    """Three convolutions with ReLU between; the second is depthwise with a stride."""
    rng = np.random.default_rng(2)
    groups = 8 if depthwise else 1
    shapes = {"a": (8, 3, 3, 3), "b": (8, 8 // groups, 3, 3), "y": (4, 8, 1, 1)}
    stored = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), f"{name}_w")
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "a_w"], ["a"], auto_pad="SAME_UPPER", strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["a_r"]),
        helper.make_node("Conv", ["a_r", "b_w"], ["b"], pads=[1, 1, 1, 1], group=groups),
        helper.make_node("Relu", ["b"], ["b_r"]),
        helper.make_node("Conv", ["b_r", "y_w"], ["c"]),
        helper.make_node("Sigmoid", ["c"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "three",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return Topology.of(onnx.shape_inference.infer_shapes(model))


def images(count, seed=0):
    rng = np.random.default_rng(seed)
    return [{"x": rng.random((1, 3, SIZE, SIZE), np.float32)} for _ in range(count)]


def planned(topology, *, bits=7, scale=0.15):
    """Weights of few bits, and grids that clip what is large: both move the means."""
    tensors = ("x", "a_r", "b_r", "c")
    return QuantizePlan(
        source="",
        target="cpu-x86-vnni",
        placement="all",
        estimator="minmax",
        bias_correction=False,
        nodes=("a", "a_r", "b", "b_r", "c"),
        dropped=("a_r", "b_r"),
        grids={
            name: GridPlan(
                scale=1 / 255 if name == "x" else scale,
                zero_point=128 if name == "c" else 0,
            )
            for name in tensors
        },
        layers={name: LayerPlan(bits=bits) for name in ("a", "b", "c")},
    )


def corrected(folder, topology, plan, feeds, **chosen):
    opener = exact_opener(Path(folder), 1)
    return correct(topology, plan, feeds, open_model=opener, context=Context(), **chosen)


def error(folder, topology, plan, feeds):
    """Return the mean squared error of the last convolution's sigmoid."""
    opener = exact_opener(Path(folder), 1)
    total = 0.0
    models = (topology.model, apply_normalised(topology, plan))
    wanted, found = (opener(model.SerializeToString()) for model in models)
    for feed in feeds:
        total += float(((wanted(feed)[0] - found(feed)[0]) ** 2).mean())
    return total / len(feeds)


@pytest.mark.parametrize("depthwise", [True, False])
@pytest.mark.parametrize(
    "chosen", [{"bias": True}, {"bias": False, "rounding": True}, {"bias": True, "rounding": True}]
)
def test_each_correction_lowers_the_error_on_other_images(tmp_path, depthwise, chosen):
    topology = build(depthwise=depthwise)
    plan = planned(topology)
    better = corrected(tmp_path, topology, plan, images(16), **chosen)

    others = images(8, seed=5)
    before, after = (error(tmp_path, topology, item, others) for item in (plan, better))
    assert after < 0.99 * before
    shifted = any(layer.bias_shift for layer in better.layers.values())
    rounded = any(layer.rounding for layer in better.layers.values())
    assert (shifted, rounded) == (chosen["bias"], chosen.get("rounding", False))


def test_only_the_layers_change(tmp_path):
    topology = build()
    plan = planned(topology)
    better = corrected(tmp_path, topology, plan, images(6), bias=True, rounding=True)

    assert better.model_copy(update={"layers": plan.layers}) == plan
    assert list(better.layers) == list(plan.layers)


def test_a_shift_that_held_out_images_speak_against_is_dropped(tmp_path):
    topology = build()
    feeds = images(8)
    for feed in feeds[3::4]:
        feed["x"] = np.zeros_like(feed["x"])
    plan = planned(topology)
    # Images without any light have no error in the first layer: nothing speaks for a shift.
    better = corrected(tmp_path, topology, plan, feeds, bias=True)

    assert better.layers["a"].bias_shift is None
    assert corrected(tmp_path, topology, plan, images(8), bias=True).layers["a"].bias_shift


def test_an_exact_plan_is_left_as_it_is(tmp_path):
    topology = build()
    fine = planned(topology, bits=8).model_copy(update={"nodes": (), "dropped": (), "grids": {}})
    weights = {name: LayerPlan(bits=8) for name in ("a",)}
    plan = fine.model_copy(update={"layers": weights})
    feeds = [{"x": np.zeros((1, 3, SIZE, SIZE), np.float32)}] * 4

    assert corrected(tmp_path, topology, plan, feeds, bias=True, rounding=True) == plan


@pytest.mark.parametrize("count", [0, 1])
def test_one_image_is_too_few_to_correct_on(tmp_path, count):
    topology = build()
    plan = planned(topology)

    assert corrected(tmp_path, topology, plan, images(count), bias=True, rounding=True) == plan


def test_what_was_corrected_before_does_not_count(tmp_path):
    topology = build()
    plan = planned(topology)
    once = corrected(tmp_path, topology, plan, images(6), bias=True, rounding=True)

    assert corrected(tmp_path, topology, once, images(6), bias=True, rounding=True) == once


def test_means_are_drawn_to_zero_by_how_unsure_they_are():
    sure = np.asarray([1.0, 1.1, 0.9, 1.0])
    unsure = np.asarray([3.0, -2.0, 2.0, -1.0])

    shift = shrunk(np.stack([sure, unsure, np.zeros(4)], axis=1))

    assert 0.9 < shift[0] < 1.0
    assert shift[1:].tolist() == [0, 0]


def test_every_process_corrects_alike(tmp_path):
    run = [sys.executable, __file__, str(tmp_path)]
    paths = {"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"}
    there = subprocess.run(run, capture_output=True, text=True, check=True, env=paths).stdout

    assert there.strip() == digest(tmp_path)


def digest(folder):
    topology = build()
    plan = corrected(folder, topology, planned(topology), images(6), bias=True, rounding=True)
    return hashlib.sha256(plan.dumps().encode()).hexdigest()


if __name__ == "__main__":
    print(digest(sys.argv[1]))
