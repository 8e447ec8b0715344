from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import scalar_detector as scalar

from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.heads import build_decoder
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec

SIZE = (32, 64)
CELLS = len(scalar.cells(SIZE, (8, 16, 32)))
PAIR = OutputSpec.apart({"boxes": "b", "scores": "s"}, channels_last=True)
SEEDS = st.integers(0, 2**32 - 1)
CLASSES = st.sampled_from([1, 2, 5])
THRESHOLDS = st.sampled_from([0.01, 0.3, 0.8, 1.0])


def joint(family, *, channels_last=False):
    holds = ("boxes", "objectness", "scores") if family == "yolox" else ("boxes", "scores")
    return OutputSpec.joint("out", holds, channels_last=channels_last)


def spec_of(family, nc, **changes):
    fields = {
        "family": family,
        "input": InputSpec(size=SIZE),
        "outputs": joint(family),
        "classes": tuple(f"c{index}" for index in range(nc)),
        "boxes": "cxcywh",
        "strides": (8, 16, 32),
        **changes,
    }
    return DetectorSpec(**fields)


def decode(spec, outputs, threshold, multi_label, limit=10_000):
    specs = [TensorSpec(name, array.shape, str(array.dtype)) for name, array in outputs.items()]
    decoder = build_decoder(spec, specs)
    return decoder.candidates(outputs, threshold=threshold, multi_label=multi_label, limit=limit)


def assert_found(result, expected):
    """Compare as sets: a decoder's order is not promised."""
    assert len(result) == len(expected)
    rows = sorted((c, s, *box) for (*box, s, c) in result)
    others = sorted((c, s, *box) for box, s, c in expected)
    np.testing.assert_allclose(rows, others, rtol=1e-4, atol=1e-4)


def unequal(rng, shape):
    """Scores that never tie and never sit on a threshold."""
    return rng.permuted(np.linspace(0.003, 0.997, int(np.prod(shape)))).reshape(shape)


@given(SEEDS, CLASSES, THRESHOLDS, st.booleans(), st.booleans(),
       st.sampled_from(["none", "sigmoid", "softmax"]))  # fmt: skip
@settings(max_examples=60)
def test_yolov8_agrees_with_the_scalar_decoder(
    seed, nc, threshold, multi_label, channels_last, activations
):
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(1, 60, (2, CELLS, 4))
    scores = unequal(rng, (2, CELLS, nc))
    if activations != "none":
        scores = rng.normal(0, 3, scores.shape)
    rows = np.concatenate([boxes, scores], 2).astype(np.float32)
    spec = spec_of(
        "yolov8", nc,
        outputs=joint("yolov8", channels_last=channels_last), activations=activations,
    )  # fmt: skip
    out = rows if channels_last else np.ascontiguousarray(rows.transpose(0, 2, 1))

    results = decode(spec, {"out": out}, threshold, multi_label)

    apply = {
        "none": list,
        "sigmoid": lambda row: [scalar.sigmoid(value) for value in row],
        "softmax": scalar.softmax,
    }[activations]
    for result, image in zip(results, rows.tolist(), strict=True):
        scored = [row[:4] + apply(row[4:]) for row in image]
        assert_found(result, scalar.decode_yolov8(scored, threshold, multi_label))


@given(SEEDS, CLASSES, THRESHOLDS, st.booleans(), st.booleans(),
       st.sampled_from([(8, 16, 32), (32, 16, 8)]), st.booleans())  # fmt: skip
@settings(max_examples=60)
def test_yolox_agrees_with_the_scalar_decoder(
    seed, nc, threshold, multi_label, channels_last, strides, logits
):
    rng = np.random.default_rng(seed)
    raw = rng.normal(0, 1, (1, CELLS, 4))
    scores = rng.normal(0, 3, (1, CELLS, 1 + nc)) if logits else unequal(rng, (1, CELLS, 1 + nc))
    rows = np.concatenate([raw, scores], 2).astype(np.float32)
    spec = spec_of(
        "yolox", nc, outputs=joint("yolox", channels_last=channels_last),
        code="grid", strides=strides, activations="sigmoid" if logits else "none",
    )  # fmt: skip
    out = rows if channels_last else np.ascontiguousarray(rows.transpose(0, 2, 1))

    (result,) = decode(spec, {"out": out}, threshold, multi_label)

    listed = rows[0].tolist()
    if logits:
        listed = [row[:4] + [scalar.sigmoid(v) for v in row[4:]] for row in listed]
    assert_found(result, scalar.decode_yolox(listed, SIZE, strides, threshold, multi_label))


@given(SEEDS, st.sampled_from([2, 5]), THRESHOLDS, st.booleans(), st.booleans(),
       st.sampled_from(["xyxy", "yxyx", "cxcywh"]), st.sampled_from([None, 0, 1]),
       st.sampled_from(["none", "sigmoid", "softmax"]))  # fmt: skip
@settings(max_examples=60)
def test_ssd_agrees_with_the_scalar_decoder(
    seed, columns, threshold, multi_label, normalized, layout, background, activations
):
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0, 1 if normalized else 60, (1, 30, 4)).astype(np.float32)
    scores = unequal(rng, (1, 30, columns)).astype(np.float32)
    if activations != "none":
        scores = rng.normal(0, 3, scores.shape).astype(np.float32)
    spec = spec_of(
        "ssd", columns, outputs=PAIR,
        boxes=layout, normalized=normalized, background=background, activations=activations,
    )  # fmt: skip

    (result,) = decode(spec, {"s": scores, "b": boxes}, threshold, multi_label)

    chances = scores[0].tolist()
    if activations == "sigmoid":
        chances = [[scalar.sigmoid(value) for value in row] for row in chances]
    elif activations == "softmax":
        chances = [scalar.softmax(row) for row in chances]
    expected = scalar.decode_ssd(
        boxes[0].tolist(), chances, SIZE, layout, normalized, background, threshold, multi_label
    )
    assert_found(result, expected)


def yolov8_rows(scores):
    rows = np.zeros((1, len(scores), 6), np.float32)
    rows[0, :, :4] = [20, 20, 10, 10]
    rows[0, :, 4:] = scores
    return rows.transpose(0, 2, 1)


def test_a_limit_keeps_the_best_scores_and_the_first_of_equals():
    out = yolov8_rows([[0.5, 0], [0.9, 0], [0.5, 0], [0.7, 0], [0, 0.5]])
    out[0, 0] = range(5)

    (result,) = decode(spec_of("yolov8", 2), {"out": out}, 0.1, True, limit=3)

    assert sorted(result.scores.tolist()) == pytest.approx([0.5, 0.7, 0.9])
    assert {box[0] + 5 for box in result.boxes.tolist()} == {0, 1, 3}


def test_a_score_at_the_threshold_is_kept():
    (result,) = decode(spec_of("yolov8", 2), {"out": yolov8_rows([[0.5, 0.25]])}, 0.25, True)

    assert sorted(result.class_ids.tolist()) == [0, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_boxes_that_are_no_boxes_are_dropped(value):
    out = yolov8_rows([[0.9, 0], [0.9, 0], [0.9, 0]])
    out[0, 0, 1], out[0, 2, 2] = value, value

    (result,) = decode(spec_of("yolov8", 2), {"out": out}, 0.1, False)

    assert result.boxes.tolist() == [[15, 15, 25, 25]]


def test_scores_that_are_no_numbers_are_dropped():
    out = yolov8_rows([[np.nan, np.nan], [0.9, 0]])

    (result,) = decode(spec_of("yolov8", 2), {"out": out}, 0.1, True)

    assert result.scores.tolist() == pytest.approx([0.9])


def test_yolox_sizes_that_overflow_are_dropped():
    rows = np.zeros((1, CELLS, 6), np.float32)
    rows[0, :2, 4:] = 0.9
    rows[0, 0, 2] = 500

    (result,) = decode(spec_of("yolox", 1, code="grid", outputs=joint(
        "yolox", channels_last=True)), {"out": rows}, 0.1, False)  # fmt: skip

    assert len(result) == 1


def test_yolox_that_decodes_in_the_graph_is_taken_as_it_is():
    rows = np.zeros((1, 7, 6), np.float32)
    rows[0, 3] = [20, 10, 8, 4, 0.5, 0.8]
    spec = spec_of("yolox", 1, outputs=joint("yolox", channels_last=True))

    (result,) = decode(spec, {"out": rows}, 0.1, False)

    assert result.boxes.tolist() == [[16, 8, 24, 12]]
    assert result.scores.tolist() == pytest.approx([0.4])


def test_half_precision_outputs_are_decoded_in_float32():
    out = yolov8_rows([[0.9, 0]]).astype(np.float16)

    (result,) = decode(spec_of("yolov8", 2), {"out": out}, 0.1, False)

    assert result.boxes.dtype == np.float32
    assert result.scores.dtype == np.float32


@pytest.mark.parametrize(
    ("spec", "outputs", "problem"),
    [
        (spec_of("yolov8", 3), {"other": (1, 7, 42)}, "reads output 'out'"),
        (spec_of("yolov8", 3), {"out": (1, 9, 42)}, "9 channels, but 3 classes"),
        (spec_of("yolov8", 3), {"out": (1, 7)}, "a tensor of 2 axes"),
        (spec_of("yolox", 3, code="grid"), {"out": (1, 8, 43)}, "43 candidates"),
        (spec_of("yolox", 3, activations="softmax"), {"out": (1, 8, CELLS)}, "no softmax"),
        (
            spec_of("ssd", 3, outputs=PAIR),
            {"b": (1, 9, 5), "s": (1, 9, 3)},
            "5 channels",
        ),
    ],
)
def test_outputs_that_contradict_the_spec_are_refused(spec, outputs, problem):
    specs = [TensorSpec(name, shape, "float32") for name, shape in outputs.items()]

    with pytest.raises(ModelError, match=problem) as caught:
        build_decoder(spec, specs)

    assert "--spec" in caught.value.remedy
