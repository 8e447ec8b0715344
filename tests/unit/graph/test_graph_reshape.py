"""A network taken to another input size is what the same exporter writes at that size."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import (
    fastestdet,
    nanodet_plus,
    picodet,
    retina,
    ssd,
    yolo_fastestv2,
    yolov5,
    yolov5_raw,
    yolov6,
    yolov6_lite,
    yolov8,
    yolox,
)
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.reshape import resized
from edgecv_cli.graph.reshape_axes import Extent, new_shape, regroup
from edgecv_cli.graph.reshape_grids import UnfollowedError, continued

WRITERS = {
    "yolov8": yolov8,
    "yolov5": yolov5,
    "yolov5-anchors-first": lambda size: yolov5(size=size, cells_first=True),
    "yolov5-raw": yolov5_raw,
    "yolov6": yolov6,
    "yolov6-lite": lambda size: yolov6_lite(size=size, decoded=True),
    "yolox": lambda size: yolox(size=size, decoded=True),
    "yolox-raw": yolox,
    "nanodet-plus": nanodet_plus,
    "picodet": picodet,
    "fastestdet": fastestdet,
    "yolo-fastestv2": yolo_fastestv2,
    "ssd": lambda size: ssd(size=size, softmax=True),
    "retina": lambda size: retina(size=size, decoded=True),
}


def outputs(model, picture):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: picture})


def picture(size):
    return np.random.default_rng(0).uniform(0, 1, (1, 3, *size)).astype(np.float32)


@pytest.mark.parametrize("name", WRITERS)
def test_equals_what_the_exporter_writes_at_that_size(name):
    write, size = WRITERS[name], (192, 192)
    found = outputs(resized(write(size=(128, 128)), size), picture(size))
    wanted = outputs(write(size=size), picture(size))
    assert [part.shape for part in found] == [part.shape for part in wanted]
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-4)


def test_follows_height_and_width_apart():
    found = outputs(resized(yolov8(size=(128, 64)), (64, 192)), picture((64, 192)))
    wanted = outputs(yolov8(size=(64, 192)), picture((64, 192)))
    np.testing.assert_allclose(found[0], wanted[0], rtol=2e-4, atol=2e-4)


def test_fixes_a_network_of_any_size():
    found = outputs(resized(yolox(dynamic="size"), (96, 64)), picture((96, 64)))
    wanted = outputs(yolox(dynamic="size"), picture((96, 64)))
    np.testing.assert_allclose(found[0], wanted[0], rtol=2e-4, atol=2e-4)


def net(node, output, **constants):
    """One operator on a picture of 8 x 8."""
    graph = helper.make_graph(
        [node],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_refuses_a_constant_that_goes_on_in_no_way_and_names_it():
    noise = np.random.default_rng(0).normal(size=(1, 1, 8, 8)).astype(np.float32)
    model = net(
        helper.make_node("Add", ["x", "noise"], ["y"], name="plus"), [1, 3, 8, 8], noise=noise
    )
    with pytest.raises(ModelError, match=r"'plus' \(Add\).*'noise' \[1, 1, 8, 8\]"):
        resized(model, (16, 16))


def test_refuses_a_reshape_that_splits_what_changes():
    target = np.asarray([1, 3, 4, 16], np.int64)
    model = net(
        helper.make_node("Reshape", ["x", "target"], ["y"], name="mix"),
        [1, 3, 4, 16],
        target=target,
    )
    with pytest.raises(ModelError, match="'mix'"):
        resized(model, (16, 16))


def test_refuses_a_layer_whose_weights_are_of_the_old_size():
    weights = np.zeros((8, 5), np.float32)
    model = net(
        helper.make_node("MatMul", ["x", "w"], ["y"], name="dense"), [1, 3, 8, 5], w=weights
    )
    with pytest.raises(ModelError, match="'dense'"):
        resized(model, (16, 16))


def test_pools_over_the_whole_map_at_both_sizes():
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[8, 8])
    model = net(node, [1, 3, 1, 1])
    found = outputs(resized(model, (16, 24)), picture((16, 24)))[0]
    np.testing.assert_allclose(found[..., 0, 0], picture((16, 24)).mean(axis=(2, 3)), rtol=1e-5)


def test_leaves_the_model_it_was_given_alone():
    model = yolov8()
    before = model.SerializeToString()
    onnx.checker.check_model(resized(model, (96, 96)))
    assert model.SerializeToString() == before


@given(
    old=st.integers(2, 9),
    new=st.integers(1, 12),
    start=st.floats(-50, 50),
    step=st.sampled_from([0.0, 1.0, 8.0, 32.0]),
)
def test_a_line_goes_on_in_its_steps(old, new, start, step):
    line = (start + step * np.arange(old)).astype(np.float32)
    found = continued(line, ((Extent(old, new),),))
    np.testing.assert_allclose(found, start + step * np.arange(new), rtol=1e-4, atol=1e-3)


def test_a_line_that_bends_is_refused():
    with pytest.raises(UnfollowedError, match="equal steps"):
        continued(np.asarray([0.0, 1.0, 4.0, 9.0]), ((Extent(4, 8),),))


@given(h=st.integers(2, 9), w=st.integers(2, 9), a=st.integers(1, 4), c=st.integers(1, 5))
def test_regrouping_counts_as_numpy_does(h, w, a, c):
    axes = tuple(
        (Extent(old, new),) for old, new in ((1, 1), (h, h + 2), (w, w + 3), (a * c, a * c))
    )
    found = regroup(axes, (1, h * w * a, c))
    assert found is not None
    assert new_shape(found) == (1, (h + 2) * (w + 3) * a, c)


def test_one_cell_is_not_guessed_into_an_axis():
    axes = ((Extent(1, 1),), (Extent(6, 6),), (Extent(1, 2),), (Extent(1, 2),))
    assert regroup(axes, (1, 2, 3)) is None
