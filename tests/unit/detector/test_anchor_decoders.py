"""Decoders of anchors, priors and YuNet's cells against a scalar reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import scalar_anchors as scalar

from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.anchors import ANCHOR_PRESETS
from edgecv_cli.detector.heads import build_decoder, head_of
from edgecv_cli.detector.heads.faces import PRIOR_SETS
from edgecv_cli.detector.spec import OutputSpec, OutputTensor

SIZE = (32, 64)
WHOLE = ("boxes", "objectness", "scores")
SEEDS = st.integers(0, 2**32 - 1)
CLASSES = st.sampled_from([1, 2, 5])
THRESHOLDS = st.sampled_from([0.01, 0.3, 0.8])
SETTINGS = settings(max_examples=10)
AXES = {
    "b,a,h,w,c": "bahwc",
    "b,ac,h,w": "bachw",
    "b,h,w,ac": "bhwac",
    "b,h,w,a,c": "bhwac",
    "b,an,c": "bahwc",
}


def spec_of(family, nc, **changes):
    defaults = head_of(family).defaults
    names = tuple(f"c{index}" for index in range(nc))
    image = defaults.input.model_copy(update={"size": SIZE})
    return defaults.replace(**{"input": image, "classes": names, **changes})


def decode(spec, outputs, threshold, multi_label=False):
    specs = [TensorSpec(name, array.shape, str(array.dtype)) for name, array in outputs.items()]
    decoder = build_decoder(spec, specs)
    return decoder.candidates(outputs, threshold=threshold, multi_label=multi_label, limit=10_000)


def assert_found(result, expected):
    """Compare as sets: a decoder's order is not promised."""
    assert len(result) == len(expected)
    rows = sorted((c, s, *box) for (*box, s, c) in result)
    others = sorted((c, s, *box) for box, s, c in expected)
    np.testing.assert_allclose(rows, others, rtol=1e-4, atol=1e-4)


def apart(rng, shape, low=0.003, high=0.997):
    """Numbers that never tie."""
    return rng.permuted(np.linspace(low, high, int(np.prod(shape)))).reshape(shape)


@given(
    SEEDS, CLASSES, THRESHOLDS, st.booleans(), st.booleans(), st.sampled_from(["cxcywh", "xyxy"])
)
@SETTINGS
def test_decoded_yolov5_agrees_with_the_scalar_decoder(
    seed, nc, threshold, multi_label, normalized, layout
):
    rng = np.random.default_rng(seed)
    count = 3 * 42
    boxes = rng.uniform(0, 1 if normalized else 60, (2, count, 4))
    rows = np.concatenate([boxes, apart(rng, (2, count, 1 + nc))], 2).astype(np.float32)
    spec = spec_of(
        "yolov5", nc, outputs=OutputSpec.joint("out", WHOLE, channels_last=True),
        boxes=layout, normalized=normalized,
    )  # fmt: skip

    results = decode(spec, {"out": rows}, threshold, multi_label)

    for result, image in zip(results, rows.tolist(), strict=True):
        assert_found(
            result, scalar.decode_rows(image, SIZE, layout, normalized, threshold, multi_label)
        )


@given(SEEDS, CLASSES, THRESHOLDS, st.booleans(), st.sampled_from(sorted(AXES)),
       st.sampled_from(["anchor-square", "anchor-exp"]), st.booleans())  # fmt: skip
@SETTINGS
def test_raw_anchors_agree_with_the_scalar_decoder(
    seed, nc, threshold, multi_label, axes, code, activated
):
    rng = np.random.default_rng(seed)
    anchors = ANCHOR_PRESETS["yolov7"]
    outputs, tensors, expected = {}, [], []
    for stride, row in zip((8, 16, 32), anchors, strict=True):
        h, w = SIZE[0] // stride, SIZE[1] // stride
        boxes = rng.uniform(0.1, 0.9, (1, 3, h, w, 4))
        scores = apart(rng, (1, 3, h, w, 1 + nc), *((0.01, 0.99) if activated else (-4, 4)))
        values = np.concatenate([boxes, scores], 4).astype(np.float32)
        moved = values.transpose(["bahwc".index(letter) for letter in AXES[axes]])
        sizes = dict(zip("bahwcn", (*values.shape, h * w), strict=True))
        shape = [int(np.prod([sizes[k] for k in group])) for group in axes.split(",")]
        name = f"out{stride}"
        outputs[name] = np.ascontiguousarray(moved).reshape(shape)
        tensors.append(OutputTensor(name=name, holds=WHOLE, axes=axes, stride=stride))
        expected += scalar.decode_anchors(
            values[0].tolist(), stride, row, code=code, activated=activated,
            threshold=threshold, multi_label=multi_label,
        )  # fmt: skip
    spec = spec_of(
        "yolov5", nc, outputs=OutputSpec(tensors=tuple(tensors)), code=code, anchors=anchors,
        activations="none" if activated else "sigmoid",
    )  # fmt: skip

    (result,) = decode(spec, outputs, threshold, multi_label)

    assert_found(result, expected)


@given(SEEDS, CLASSES, THRESHOLDS, st.booleans(), st.booleans(), st.booleans(), st.booleans())
@SETTINGS
def test_shared_scores_agree_with_the_scalar_decoder(
    seed, nc, threshold, multi_label, activated, joint, batch
):
    rng = np.random.default_rng(seed)
    spec = spec_of("yolo-fastestv2", nc, activations="none" if activated else "softmax")
    outputs, tensors, expected = {}, [], []
    for stride, row in zip(spec.strides, spec.anchors, strict=True):
        h, w = SIZE[0] // stride, SIZE[1] // stride
        values = apart(rng, (h, w, 15 + nc), *((0.01, 0.99) if activated else (-3, 3)))
        values = values.astype(np.float32)
        axes = "b,h,w,c" if batch else "h,w,c"
        bounds = [0, 15 + nc] if joint else [0, 12, 15, 15 + nc]
        holds = [WHOLE] if joint else [(role,) for role in WHOLE]
        for index, roles in enumerate(holds):
            name = f"out{len(tensors)}"
            part = values[..., bounds[index] : bounds[index + 1]]
            outputs[name] = part[None] if batch else part
            tensors.append(OutputTensor(name=name, holds=roles, axes=axes, stride=stride))
        expected += scalar.decode_shared(
            values.tolist(), stride, row, activated=activated,
            threshold=threshold, multi_label=multi_label,
        )  # fmt: skip

    (result,) = decode(
        spec.replace(outputs=OutputSpec(tensors=tuple(tensors))), outputs, threshold, multi_label
    )

    assert_found(result, expected)


@pytest.mark.parametrize("known", PRIOR_SETS, ids=lambda known: known.name)
@pytest.mark.parametrize("size", [(64, 64), (96, 160), (240, 320)])
def test_published_priors_are_where_the_references_put_them(known, size):
    sides = dict(zip(known.strides, known.sides, strict=True))
    rows = np.array(scalar.priors(size, sides, even=known.even))
    expected = np.concatenate([rows[:, :2] - rows[:, 2:] / 2, rows[:, :2] + rows[:, 2:] / 2], 1)

    assert known.count(size) == len(expected)
    np.testing.assert_allclose(known.boxes(size), expected, rtol=1e-5, atol=1e-4)


def test_ultraface_has_as_many_priors_as_it_is_published_with():
    assert PRIOR_SETS[0].count((240, 320)) == 4420
    assert PRIOR_SETS[0].count((480, 640)) == 17640
    assert PRIOR_SETS[1].count((640, 640)) == 16800


@given(
    SEEDS,
    THRESHOLDS,
    st.sampled_from(PRIOR_SETS),
    st.booleans(),
    st.sampled_from([(32, 64), (40, 72)]),
)
@SETTINGS
def test_offsets_from_priors_agree_with_the_scalar_decoder(seed, threshold, known, logits, size):
    rng = np.random.default_rng(seed)
    count = known.count(size)
    offsets = rng.normal(0, 1, (1, count, 4)).astype(np.float32)
    faces = apart(rng, (1, count, 1), -3 if logits else 0.003, 3 if logits else 0.997)
    scores = np.concatenate([np.zeros_like(faces), faces], 2).astype(np.float32)
    defaults = head_of("retina").defaults
    spec = defaults.replace(
        input=defaults.input.model_copy(update={"size": size}),
        outputs=OutputSpec.apart({"boxes": "loc", "scores": "conf"}, channels_last=True),
        boxes="cxcywh", normalized=False, code="prior", strides=known.strides,
        anchors=known.anchors(size), cell_offset=0.5, even_cells=known.even,
        activations="softmax" if logits else "none",
    )  # fmt: skip

    (result,) = decode(spec, {"conf": scores, "loc": offsets}, threshold)

    sides = dict(zip(known.strides, known.sides, strict=True))
    prior = scalar.priors(size, sides, even=known.even)
    assert_found(
        result,
        scalar.decode_priors(
            offsets[0].tolist(), scores[0].tolist(), prior, logits=logits, threshold=threshold
        ),
    )


@given(SEEDS, THRESHOLDS)
@SETTINGS
def test_yunet_agrees_with_the_scalar_decoder(seed, threshold):
    rng = np.random.default_rng(seed)
    outputs, tensors, levels = {}, [], {}
    for stride in (8, 16, 32):
        count = SIZE[0] * SIZE[1] // stride**2
        chances, lit = apart(rng, (2, 1, count, 1)).astype(np.float32)
        boxes = rng.normal(0, 1, (1, count, 4)).astype(np.float32)
        parts = {"scores": chances, "objectness": lit, "boxes": boxes}
        for role, array in parts.items():
            outputs[f"{role}{stride}"] = array
            tensors.append(OutputTensor(name=f"{role}{stride}", holds=(role,), stride=stride))
        levels[stride] = (chances[0, :, 0].tolist(), lit[0, :, 0].tolist(), boxes[0].tolist())
    spec = spec_of("yunet", 1, outputs=OutputSpec(tensors=tuple(tensors)))

    (result,) = decode(spec, outputs, threshold)

    assert_found(result, scalar.decode_yunet(levels, SIZE, threshold))


def shared(*places):
    tensors = (
        OutputTensor(name=name, holds=WHOLE, axes=axes, stride=stride)
        for name, axes, stride in places
    )
    return OutputSpec(tensors=tuple(tensors))


BOTH = shared(("a", "h,w,c", 16), ("b", "h,w,c", 32))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"anchors": ()}, "needs anchors"),
        ({"classes": ("a",)}, "has 17 channels of 8 cells"),
        ({"outputs": shared(("no", "h,w,c", 16))}, "reads output 'no'"),
        ({"outputs": shared(("a", "h,w,c", 16))}, "no boxes and no objectness and no scores at"),
        ({"outputs": shared(("a", "b,h,w,c", 16))}, "does not fit the spec"),
    ],
)
def test_outputs_that_contradict_shared_scores_are_refused(changes, words):
    spec = spec_of("yolo-fastestv2", 2, **{"outputs": BOTH, **changes})
    outputs = [TensorSpec("a", (2, 4, 17), "float32"), TensorSpec("b", (1, 2, 17), "float32")]

    with pytest.raises(ModelError) as caught:
        build_decoder(spec, outputs)

    assert words in caught.value.problem
    assert "--spec" in caught.value.remedy


def test_objectness_at_some_strides_only_is_refused():
    tensors = [
        OutputTensor(name="a", holds=WHOLE, stride=16),
        OutputTensor(name="b", holds=("boxes", "scores"), stride=32),
    ]
    spec = spec_of(
        "yolov5", 2, outputs=OutputSpec(tensors=tuple(tensors)), code="grid", strides=(16, 32)
    )
    outputs = [TensorSpec("a", (1, 8, 7), "float32"), TensorSpec("b", (1, 2, 6), "float32")]

    with pytest.raises(ModelError, match="at some strides only"):
        build_decoder(spec, outputs)
