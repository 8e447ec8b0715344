"""reshape --nms none: the graph ends before its NMS, and finds what it found with it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from models import yolov8
from models_selected import selected
from scenes import write_dataset

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.reshape import ReshapeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, ModelError, UsageError
from edgecv_cli.detector.nms_cut import without_nms
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.stages.reshape import reshape


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images=4, size=(128, 128))


@pytest.fixture(scope="module")
def selecting(tmp_path_factory, images):
    """A detector with NMS in its graph."""
    folder = tmp_path_factory.mktemp("in")
    onnx.save(yolov8(planted=True, size=(128, 128)), folder / "dense.onnx")
    path = folder / "rows.onnx"
    reshape(config(folder / "dense.onnx", path, nms="onnx", data=images), Context())
    return path


def config(model, out, **changes):
    settings = {"model": model, "output": out, "nms": "none", "speed_seconds": 0}
    return ReshapeConfig(**{**settings, **changes})


def changed(path, folder, change):
    """Save a copy whose graph was changed; it keeps telling how it is read."""
    model = onnx.load(path)
    change(model.graph)
    onnx.save(model, folder / "changed.onnx")
    return folder / "changed.onnx"


def nms_of(graph):
    (node,) = [one for one in graph.node if one.op_type == "NonMaxSuppression"]
    return node


def swap_corners(graph):
    """Turn what goes into NMS to y1, x1, y2, x2; its answer stays the same."""
    node = nms_of(graph)
    turned = onnx.numpy_helper.from_array(np.array([1, 0, 3, 2]), "turned")
    graph.initializer.append(turned)
    made = onnx.helper.make_node(
        "Gather", [node.input[0], "turned"], ["turned_boxes"], name="turn", axis=2
    )
    graph.node.insert(list(graph.node).index(node), made)
    node.input[0] = "turned_boxes"


@pytest.mark.parametrize(("turn", "layout"), [(False, "xyxy"), (True, "yxyx")])
def test_what_is_cut_finds_the_same(selecting, images, tmp_path, turn, layout):
    model = changed(selecting, tmp_path, swap_corners) if turn else selecting
    out = tmp_path / "cut.onnx"

    result = reshape(config(model, out, data=images), Context())

    assert (result.agreement, result.nms, result.verified) == (1, "none", "ran")
    saved = Artifact.open(out)
    assert "NonMaxSuppression" not in {node.op_type for node in saved.model.graph.node}
    spec = saved.detector().spec
    assert (spec.boxes, spec.normalized) == (layout, False)
    assert spec.classes == Artifact.open(model).detector().spec.classes
    assert [one.name for one in saved.facts().outputs] == ["boxes", "scores"]


@pytest.mark.parametrize("kind", ["yolov7", "paddle", "mmdeploy", "torchvision"])
def test_what_other_exporters_put_behind_nms_goes(kind, images, tmp_path):
    onnx.save(selected(kind, size=(128, 128), planted=True), tmp_path / "model.onnx")
    out = tmp_path / "cut.onnx"

    result = reshape(config(tmp_path / "model.onnx", out, data=images), Context())

    assert result.agreement == 1
    assert [one.name for one in Artifact.open(out).facts().inputs] == ["images"]
    assert Artifact.open(out).detector().spec.extra_inputs == {}


def test_the_iou_of_the_graph_goes_on_outside_it(selecting, tmp_path):
    artifact = Artifact.open(selecting)
    graph = normalise(artifact.model)
    node = nms_of(graph.graph)
    (stored,) = [one for one in graph.graph.initializer if one.name == node.input[3]]
    stored.CopyFrom(onnx.numpy_helper.from_array(np.array([0.35], np.float32), stored.name))

    cut = without_nms(graph, artifact.detector().spec)

    assert {round(one.nms_iou, 4) for one in cut.readings} == {0.35}


def test_a_background_that_nms_does_not_know_keeps_its_place(selecting):
    artifact = Artifact.open(selecting)
    spec = artifact.detector().spec
    wider = spec.replace(classes=("none", *spec.classes), background=0)

    cut = without_nms(normalise(artifact.model), wider)

    scores = cut.model.graph.output[1].type.tensor_type.shape.dim[1].dim_value
    assert scores == len(spec.classes) + 1
    assert cut.readings[0].background == 0


def test_a_class_that_is_found_elsewhere_is_refused(selecting):
    artifact = Artifact.open(selecting)
    spec = artifact.detector().spec
    wider = spec.replace(classes=(*spec.classes, "one", "two"))

    with pytest.raises(ModelError, match="a class is found elsewhere"):
        without_nms(normalise(artifact.model), wider)


def test_several_nms_and_plugins_are_refused(selecting):
    artifact = Artifact.open(selecting)
    model = normalise(artifact.model)
    twice, plugin = onnx.ModelProto(), onnx.ModelProto()
    twice.CopyFrom(model)
    plugin.CopyFrom(model)
    again = twice.graph.node.add()
    again.CopyFrom(nms_of(model.graph))
    again.output[0] = "again"
    nms_of(plugin.graph).op_type = "EfficientNMS_TRT"

    with pytest.raises(ModelError, match="has 2 NMS"):
        without_nms(twice, artifact.detector().spec)
    with pytest.raises(ModelError, match="TensorRT's plugin"):
        without_nms(plugin, artifact.detector().spec)


def test_bad_wishes_are_refused(selecting, images, tmp_path):
    out = tmp_path / "cut.onnx"
    with pytest.raises(UsageError, match="--nms none needs images"):
        config(selecting, out)
    dense = selecting.parent / "dense.onnx"
    with pytest.raises(UsageError, match="no NMS to take out"):
        reshape(config(dense, out, data=images), Context())
    assert not out.exists()


def test_pictures_without_objects_tell_nothing(selecting, tmp_path):
    import cv2

    empty = tmp_path / "empty"
    empty.mkdir()
    cv2.imwrite(str(empty / "grey.png"), np.full((128, 128, 3), 128, np.uint8))
    out = tmp_path / "cut.onnx"

    with pytest.raises(DataError, match="finds nothing in 1 images"):
        reshape(config(selecting, out, images=empty), Context())

    assert not out.exists()
