"""Scores and distances, and FastestDet's map, decoded as by a scalar loop."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import scalar_detector as scalar
from reference import scalar_distances as reference

from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.heads import build_decoder, head_of
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec, OutputTensor

SIZE = (64, 96)
SEEDS = st.integers(0, 2**32 - 1)
CLASSES = st.sampled_from([1, 2, 5])
THRESHOLDS = st.sampled_from([0.01, 0.3, 0.8])


def spec_of(family: str, nc: int, outputs: OutputSpec, **changes) -> DetectorSpec:
    return head_of(family).defaults.replace(
        input=InputSpec(size=SIZE), outputs=outputs, **changes,
        classes=tuple(f"c{index}" for index in range(nc)),
    )  # fmt: skip


def decode(spec, outputs, threshold, multi_label):
    specs = [TensorSpec(name, array.shape, str(array.dtype)) for name, array in outputs.items()]
    decoder = build_decoder(spec, specs)
    return decoder.candidates(outputs, threshold=threshold, multi_label=multi_label, limit=10_000)


def assert_found(result, expected):
    """Compare as sets: a decoder's order is not promised."""
    assert len(result) == len(expected)
    rows = sorted((c, s, *box) for (*box, s, c) in result)
    others = sorted((c, s, *box) for box, s, c in expected)
    np.testing.assert_allclose(rows, others, rtol=1e-4, atol=1e-4)


def unequal(rng, shape):
    """Scores that never tie and never sit on a threshold."""
    return rng.permuted(np.linspace(0.003, 0.997, int(np.prod(shape)))).reshape(shape)


LAYOUTS = st.sampled_from(["joint", "rows", "maps", "apart"])


def laid_out(layout, strides, scores, sides):
    """Rows [1, N, C] of scores and distances as a network's outputs, with their spec."""
    both = np.concatenate([scores, sides], 2)
    if layout == "joint":
        return {"out": both}, OutputSpec.joint("out", ("scores", "boxes"), channels_last=True)
    outputs, tensors, start = {}, [], 0
    for stride in strides:
        h, w = -(-SIZE[0] // stride), -(-SIZE[1] // stride)
        part = slice(start, start + h * w)
        start += h * w
        if layout == "apart":
            outputs[f"s{stride}"], outputs[f"b{stride}"] = scores[:, part], sides[:, part]
            tensors.append(("s", ("scores",), "b,n,c", stride))
            tensors.append(("b", ("boxes",), "b,n,c", stride))
            continue
        rows = both[:, part]
        cube = rows.transpose(0, 2, 1).reshape(len(rows), -1, h, w)
        outputs[f"o{stride}"] = rows if layout == "rows" else np.ascontiguousarray(cube)
        axes = "b,n,c" if layout == "rows" else "b,c,h,w"
        tensors.append(("o", ("scores", "boxes"), axes, stride))
    return outputs, OutputSpec(
        tensors=tuple(
            OutputTensor(name=f"{name}{stride}", holds=holds, axes=axes, stride=stride)
            for name, holds, axes, stride in tensors
        )
    )


@given(SEEDS, CLASSES, THRESHOLDS, st.booleans(), st.booleans(), LAYOUTS,
       st.sampled_from(["nanodet", "nanodet-plus", "picodet", "yolov6-lite"]),
       st.sampled_from([np.float32, np.float16]))  # fmt: skip
@settings(max_examples=40)
def test_distances_agree_with_the_scalar_decoder(
    seed, nc, threshold, multi_label, logits, layout, family, dtype
):
    rng = np.random.default_rng(seed)
    defaults = head_of(family).defaults
    strides, bins = defaults.strides, max(1, defaults.reg_max)
    count = len(scalar.cells(SIZE, strides))
    scores = rng.normal(0, 3, (2, count, nc)) if logits else unequal(rng, (2, count, nc))
    sides = rng.normal(0.8, 1, (2, count, 4 * bins))
    scores, sides = scores.astype(dtype), sides.astype(dtype)
    outputs, said = laid_out(layout, strides, scores, sides)
    spec = spec_of(family, nc, said, activations="sigmoid" if logits else "none")

    results = decode(spec, outputs, threshold, multi_label)

    for result, rows, distances in zip(results, scores, sides, strict=True):
        expected = reference.decode_distances(
            rows.tolist(), distances.tolist(), SIZE, strides, bins=bins,
            offset=0.0 if family == "nanodet-plus" else 0.5, logits=logits,
            threshold=threshold, multi_label=multi_label,
        )  # fmt: skip
        if dtype == np.float32:
            assert_found(result, expected)
        else:  # ties of half precision fall either way
            assert len(result) == len(expected)


@given(SEEDS, CLASSES, st.sampled_from([0.05, 0.3, 0.6]), st.booleans())
@settings(max_examples=20)
def test_fastestdet_agrees_with_the_scalar_decoder(seed, nc, threshold, multi_label):
    rng = np.random.default_rng(seed)
    h, w = -(-SIZE[0] // 16), -(-SIZE[1] // 16)
    box = rng.normal(0, 1.5, (1, 4, h, w))
    seen, chances = unequal(rng, (1, 1, h, w)), unequal(rng, (1, nc, h, w))
    cube = np.concatenate([seen, box, chances], 1).astype(np.float32)
    tensor = OutputTensor(
        name="out", holds=("objectness", "boxes", "scores"), axes="b,c,h,w", stride=16
    )
    spec = spec_of("fastestdet", nc, OutputSpec(tensors=(tensor,)))

    (result,) = decode(spec, {"out": cube}, threshold, multi_label)

    expected = reference.decode_fastestdet(cube[0].tolist(), SIZE, threshold)
    assert_found(result, expected)
