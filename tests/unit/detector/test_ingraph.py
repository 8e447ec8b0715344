"""Decoding put into a graph gives the boxes and scores that the decoder in numpy gives."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from edgecv_cli.core.errors import ModelError, UsageError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.heads import build_decoder
from edgecv_cli.detector.ingraph import decoded, foreground, suppressed_spec
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec, OutputTensor

SIZE = (32, 64)
CLASSES = ("a", "b", "c")
PAIR = ("raw_coordinates", "raw_confidence")
ANCHORS = (((10.0, 13.0), (16.0, 30.0)), ((30.0, 61.0), (62.0, 45.0)))


def tensors(*each):
    rows = [
        {"stride": None, **dict(zip(("name", "holds", "axes", "stride"), t, strict=False))}
        for t in each
    ]
    return OutputSpec(tensors=tuple(OutputTensor(**row) for row in rows))


def spec(outputs, **settings):
    known = {"family": "generic", "classes": CLASSES, "boxes": "cxcywh", **settings}
    return DetectorSpec(input=InputSpec(size=SIZE), outputs=outputs, **known)


BOTH = ("boxes", "scores")
ALL = ("boxes", "objectness", "scores")
CASES = {
    "decoded": (spec(tensors(("o", BOTH, "b,c,n"))), {"o": (1, 7, 9)}),
    "background-first": (
        spec(
            tensors(("b", ("boxes",), "b,n,c"), ("s", ("scores",), "b,n,c")),
            boxes="yxyx", normalized=True, activations="softmax", background=0,
        ),
        {"b": (1, 9, 4), "s": (1, 9, 3)},
    ),
    "background-in-the-middle": (
        spec(tensors(("o", BOTH, "n,c")), boxes="xyxy", background=1),
        {"o": (9, 7)},
    ),
    "grid": (
        spec(tensors(("o", ALL, "b,n,c")), code="grid", strides=(8, 16), activations="sigmoid"),
        {"o": (1, 40, 8)},
    ),
    "anchor-square": (
        spec(
            tensors(("x", ALL, "b,a,h,w,c", 8), ("y", ALL, "b,a,h,w,c", 16)),
            code="anchor-square", strides=(8, 16), anchors=ANCHORS, activations="sigmoid",
        ),
        {"x": (1, 2, 4, 8, 8), "y": (1, 2, 2, 4, 8)},
    ),
    "anchor-exp": (
        spec(
            tensors(("x", ALL, "b,ac,h,w", 8), ("y", ALL, "b,ac,h,w", 16)),
            code="anchor-exp", strides=(8, 16), anchors=ANCHORS, activations="sigmoid",
        ),
        {"x": (1, 16, 4, 8), "y": (1, 16, 2, 4)},
    ),
    "prior": (
        spec(
            tensors(("o", BOTH, "b,n,c")), code="prior", strides=(8, 16), anchors=ANCHORS,
            anchors_first=True, cell_offset=0.5, activations="softmax", background=2,
        ),
        {"o": (1, 80, 7)},
    ),
    "distance": (
        spec(
            tensors(("b", ("boxes",), "b,n,c"), ("s", ("scores",), "b,n,c")),
            boxes="ltrb", code="distance", strides=(8, 16), cell_offset=0.5,
        ),
        {"b": (1, 40, 4), "s": (1, 40, 3)},
    ),
    "distribution": (
        spec(
            tensors(("x", BOTH, "b,c,h,w", 8), ("y", BOTH, "b,c,h,w", 16)),
            boxes="ltrb", code="distance", strides=(8, 16), reg_max=8,
            activations="sigmoid",
        ),
        {"x": (1, 35, 4, 8), "y": (1, 35, 2, 4)},
    ),
    "powers": (
        spec(
            tensors(("o", ("objectness", "boxes", "scores"), "b,c,h,w", 24)),
            code="tanh-sigmoid", strides=(24,), even_cells=True, powers=(0.6, 0.4),
        ),
        {"o": (1, 8, 2, 3)},
    ),
}  # fmt: skip


def passing(shapes, kind=TensorProto.FLOAT):
    """A network whose outputs are its inputs."""
    nodes = [helper.make_node("Identity", [f"in_{name}"], [name]) for name in shapes]
    sides = [
        [helper.make_tensor_value_info(f"{mark}{n}", kind, s) for n, s in shapes.items()]
        for mark in ("in_", "")
    ]
    graph = helper.make_graph(nodes, "net", *sides)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def drawn(shapes, seed=0):
    """Channels that are boxes of a sound size and scores of 0..1 in every code."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.uniform(0.05, 0.95, shape).astype(np.float32) for name, shape in shapes.items()
    }


def run(made, values):
    session = ort.InferenceSession(made.SerializeToString())
    feeds = {one.name: values[one.name.removeprefix("in_")] for one in session.get_inputs()}
    return dict(
        zip([one.name for one in session.get_outputs()], session.run(None, feeds), strict=True)
    )


def found(known, outputs, values):
    return build_decoder(known, outputs).candidates(
        values, threshold=0.0, multi_label=True, limit=100_000
    )[0]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
def test_it_is_what_the_decoder_gives(name, half):
    known, shapes = CASES[name]
    dtype = np.float16 if half else np.float32
    values = {name: value.astype(dtype) for name, value in drawn(shapes).items()}
    if known.boxes in ("xyxy", "yxyx"):  # corners in order
        values["b" if "b" in values else "o"][..., 2:4] += 1
    outputs = [TensorSpec(each, shape, dtype.__name__) for each, shape in shapes.items()]
    network = passing(shapes, TensorProto.FLOAT16 if half else TensorProto.FLOAT)
    before = network.SerializeToString()

    made = decoded(network, known, outputs, boxes=PAIR[0], scores=PAIR[1])
    onnx.checker.check_model(made.model, full_check=True)
    left = run(made.model, values)
    mine = found(suppressed_spec(known, *PAIR), made.outputs, left)
    theirs = found(known, outputs, values)

    assert network.SerializeToString() == before
    assert [one.shape for one in made.outputs] == [left[one].shape for one in PAIR]
    rows = left[PAIR[1]].shape[0]
    sound = len(theirs) / len(foreground(known))
    assert sound > rows / 3, "the case has boxes"
    kept = ids_of(known, theirs)
    np.testing.assert_allclose(mine.scores, theirs.scores, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(mine.boxes, theirs.boxes, rtol=1e-5, atol=1e-4)
    assert [foreground(known)[i] for i in mine.class_ids] == kept


def ids_of(known, detections):
    return [known.classes[index] for index in detections.class_ids]


def test_what_is_left_is_read_without_the_background():
    known, _ = CASES["background-first"]
    assert suppressed_spec(known, *PAIR).classes == ("b", "c")
    assert suppressed_spec(known, *PAIR).input == known.input


@pytest.mark.parametrize(
    ("known", "shapes", "error", "words"),
    [
        (
            spec(tensors(("o", ("boxes", "score", "label"), "n,c")), boxes="xyxy"),
            {"o": (9, 6)},
            UsageError,
            "selects boxes itself",
        ),
        (
            spec(tensors(("o", BOTH, "b,n,c")), extra_inputs={"scale": "ones"}),
            {"o": (1, 9, 7)},
            UsageError,
            "takes scale beside",
        ),
        (spec(tensors(("o", BOTH, "b,n,c"))), {"o": (2, 9, 7)}, ModelError, "of 2 pictures"),
        (spec(tensors(("o", BOTH, "b,n,c"))), {"o": (1, 9, 6)}, ModelError, "6 channels"),
    ],
)
def test_what_can_not_be_decoded_inside_is_refused(known, shapes, error, words):
    outputs = [TensorSpec(name, shape, "float32") for name, shape in shapes.items()]
    with pytest.raises(error, match=words) as caught:
        decoded(passing(shapes), known, outputs, boxes=PAIR[0], scores=PAIR[1])
    assert caught.value.remedy
