"""Boxes that the graph selected: told by their columns, decoded like the scalar reference."""

from __future__ import annotations

import models
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import scalar_selected as scalar
from test_decoders import assert_found, decode

from edgecv_cli.core.errors import ConfigError, ModelError, UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.classes import COCO80, COCO91
from edgecv_cli.detector.heads import build_decoder
from edgecv_cli.detector.recognise import recognise
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec, OutputTensor
from edgecv_cli.graph.facts import GraphFacts
from edgecv_cli.graph.inspect import read_facts

SIZE = (64, 96)
BOX = ("x1", "y1", "x2", "y2")
NAMES = {"boxes": BOX, "score": ("score",), "label": ("label",), "image": ("image",)}
LAYOUTS = (
    ("boxes", "score", "label"),
    ("label", "score", "boxes"),
    ("image", "boxes", "label", "score"),
    ("image", "boxes", "score", "label"),
    ("image", "label", "score", "boxes"),
)


def spec_of(*tensors, nc=5, **changes):
    fields = {
        "family": "end2end",
        "input": InputSpec(size=SIZE),
        "outputs": OutputSpec(tensors=tensors),
        "classes": tuple(f"c{index}" for index in range(nc)),
        "boxes": "xyxy",
        **changes,
    }
    return DetectorSpec(**fields)


def table(rng, rows, order, nc=5):
    """Rows of random numbers; labels from -1 (padding) to nc, which is none."""
    columns = {
        "score": rng.permuted(np.linspace(0.001, 0.999, rows)),
        "label": rng.integers(-1, nc + 1, rows),
        "image": rng.integers(0, 2, rows),
    }
    low = rng.uniform(0, 60, (rows, 2))
    corners = np.concatenate([low, low + rng.uniform(-5, 40, (rows, 2))], 1)
    columns |= dict(zip(BOX, corners.T, strict=True))
    return np.stack([columns[name] for name in order], 1).astype(np.float32)


@given(st.integers(0, 2**32 - 1), st.sampled_from(LAYOUTS), st.sampled_from([0.01, 0.5, 0.9]))
@settings(max_examples=40)
def test_tables_are_decoded_as_by_the_scalar_reference(seed, holds, threshold):
    rng = np.random.default_rng(seed)
    order = [name for role in holds for name in NAMES[role]]
    rows = table(rng, 40, order)
    spec = spec_of(OutputTensor(name="out", holds=holds, axes="n,c"))

    results = decode(spec, {"out": rows}, threshold, False)

    images = 2 if "image" in holds else 1
    assert len(results) == images
    for image, result in enumerate(results):
        found = scalar.decode_rows(rows.tolist(), order, 5, threshold, image)
        assert_found(result, found)


@given(st.integers(0, 2**32 - 1), st.booleans(), st.integers(-1, 12))
@settings(max_examples=30)
def test_outputs_apart_are_decoded_as_by_the_scalar_reference(seed, counted, kept):
    rng = np.random.default_rng(seed)
    order = [*BOX, "score", "label"]
    rows = np.stack([table(rng, 10, order) for _ in range(2)])
    outputs = {
        "b": rows[..., :4],
        "s": rows[..., 4],
        "l": rows[..., 5:].astype(np.int64),
        "n": np.array([[kept], [3]], np.int32),
    }
    tensors = [
        OutputTensor(name="b", holds=("boxes",)),
        OutputTensor(name="s", holds=("score",), axes="b,n"),
        OutputTensor(name="l", holds=("label",), axes="b,n,c"),
    ]
    if counted:
        tensors.append(OutputTensor(name="n", holds=("count",), axes="b,c"))

    results = decode(spec_of(*tensors), outputs, 0.2, False)

    for result, image, many in zip(results, rows.tolist(), (kept, 3), strict=True):
        assert_found(
            result, scalar.decode_rows(image, order, 5, 0.2, kept=many if counted else None)
        )


def test_counts_part_a_table_of_several_images():
    rows = np.array([[0, 0.9, 1, 1, 9, 9], [1, 0.8, 2, 2, 9, 9], [2, 0.7, 3, 3, 9, 9]], np.float32)
    spec = spec_of(
        OutputTensor(name="out", holds=("label", "score", "boxes"), axes="n,c"),
        OutputTensor(name="n", holds=("count",), axes="b"),
    )

    first, second = decode(spec, {"out": rows, "n": np.array([1, 2], np.int32)}, 0.1, False)

    assert (first.class_ids.tolist(), second.class_ids.tolist()) == ([0], [1, 2])


def test_no_rows_are_no_boxes():
    spec = spec_of(OutputTensor(name="out", holds=("image", "boxes", "label", "score"), axes="n,c"))

    (found,) = decode(spec, {"out": np.zeros((0, 7), np.float32)}, 0.1, False)

    assert len(found) == 0


def test_the_background_and_numbers_that_are_none_are_dropped():
    rows = np.array([[1, 1, 9, 9, np.nan, 1], [1, 1, 9, 9, 0.9, 0], [1, 1, 9, 9, 0.9, np.nan],
                     [1, 1, 9, 9, 0.8, 2]], np.float32)  # fmt: skip
    tensor = OutputTensor(name="out", holds=("boxes", "score", "label"), axes="n,c")

    (found,) = decode(spec_of(tensor, background=0), {"out": rows}, 0.1, False)

    assert found.class_ids.tolist() == [2]


@pytest.mark.parametrize(
    ("tensor", "shape", "problem"),
    [
        (OutputTensor(name="x", holds=("boxes", "score", "label")), (1, 9, 6), "reads output 'x'"),
        (OutputTensor(name="out", holds=("boxes", "score", "label")), (1, 9, 7), "7 columns"),
        (OutputTensor(name="out", holds=("boxes", "score", "label")), (9, 6), "can't be rows"),
        (OutputTensor(name="out", holds=("boxes", "label")), (1, 9, 5), "give no score"),
    ],
)
def test_outputs_that_contradict_the_spec_are_refused(tensor, shape, problem):
    with pytest.raises(ModelError, match=problem):
        build_decoder(spec_of(tensor), [TensorSpec("out", shape, "float32")])


EXPECTED = {
    "ultralytics": ((("boxes", "score", "label"),), "xyxy", False),
    "yolov7": ((("image", "boxes", "label", "score"),), "xyxy", False),
    "paddle": ((("label", "score", "boxes"), ("count",)), "xyxy", False),
    "mmdeploy": ((("boxes", "score"), ("label",)), "xyxy", False),
    "torchvision": ((("boxes",), ("score",), ("label",)), "xyxy", False),
    "tensorflow": ((("boxes",), ("score",), ("label",), ("count",)), "yxyx", True),
    "rtdetr": ((("boxes",), ("score",), ("label",)), "xyxy", False),
}


@pytest.mark.parametrize("nc", [1, 3, 6])
@pytest.mark.parametrize("kind", models.SELECTED)
def test_every_layout_is_told_by_its_columns(kind, nc):
    found = recognise(read_facts(models.selected(kind, nc, SIZE)))

    spec = found.spec
    first = kind in ("torchvision", "tensorflow")
    assert spec.family == "end2end"
    assert (
        tuple(tensor.holds for tensor in spec.outputs.tensors),
        spec.boxes,
        spec.normalized,
    ) == (EXPECTED[kind])
    assert (len(spec.classes), spec.background) == ((nc + 1, 0) if first else (nc, None))
    assert found.confidence > 0.9


def test_what_a_second_input_does_to_boxes_says_what_it_is_fed():
    fed = [
        recognise(read_facts(model)).spec.extra_inputs
        for model in (
            models.selected("rtdetr", 3, SIZE),
            models.selected("rtdetr", 3, SIZE, height_first=True),
            models.selected("paddle", 3, SIZE),
        )
    ]

    assert fed == [
        {"orig_target_sizes": "input-wh"},
        {"orig_target_sizes": "input-hw"},
        {"scale_factor": "ones"},
    ]


def test_a_number_of_classes_that_can_not_be_seen_is_asked_for():
    facts = read_facts(models.selected("torchvision", 20, SIZE))

    with pytest.raises(UnrecognisedError, match="how many classes") as caught:
        recognise(facts)

    assert "`classes: coco80`" in caught.value.remedy
    names = tuple(f"n{index}" for index in range(20))
    assert recognise(facts, override={"classes": names}).spec.classes == ("background", *names)
    assert recognise(facts, override={"classes": COCO91}).spec.classes == COCO91
    by_metadata = GraphFacts(**{**vars(facts), "metadata": {"names": str(list(names))}})
    assert recognise(by_metadata).spec.classes == ("background", *names)


def blind(outputs, ops=(), metadata=None, inputs=()):
    """A graph that can't be probed."""
    image = TensorSpec("images", (1, 3, *SIZE), "float32")
    return GraphFacts(
        inputs=(image, *inputs), outputs=tuple(TensorSpec(*entry) for entry in outputs),
        input_size=SIZE, opset=17, precision="fp32", parameters=9, macs=None,
        op_counts=dict.fromkeys(ops, 1), metadata=metadata or {}, tail=None,
        tail_problem="the graph selects boxes itself (Loop)",
    )  # fmt: skip


FASTER = (("b", (None, 4), "float32"), ("l", (None,), "int64"), ("s", (None,), "float32"))
PLUGIN = (("n", (1, 1), "int32"), ("b", (1, 100, 4), "float32"), ("s", (1, 100), "float32"),
          ("l", (1, 100), "int32"))  # fmt: skip


@pytest.mark.parametrize(
    ("outputs", "ops", "background", "roles"),
    [
        (FASTER, ["NonMaxSuppression", "Loop"], 0, ["boxes", "score", "label"]),
        (PLUGIN, ["EfficientNMS_TRT"], None, ["boxes", "score", "label", "count"]),
        (
            (("d", (1, None, 5), "float32"), ("l", (1, None), "int64")),
            ["NonMaxSuppression"], None, ["boxes", "score", "label"],
        ),
        (
            (("t", (None, 6), "float32"), ("n", (1,), "int32")),
            ["NonMaxSuppression"], None, ["label", "score", "boxes", "count"],
        ),
    ],
)  # fmt: skip
def test_a_signature_like_no_other_is_read_without_a_probe(outputs, ops, background, roles):
    found = recognise(blind(outputs, ops), override={"classes": COCO80})

    held = [role for tensor in found.spec.outputs.tensors for role in tensor.holds]
    assert (found.spec.family, found.spec.background, held) == ("end2end", background, roles)
    assert found.confidence < 0.9
    assert any("types and shapes alone" in line for line in found.evidence)


def test_ultralytics_metadata_makes_a_table_unmistakable():
    notes = {"names": "{0: 'a', 1: 'b'}", "task": "detect"}
    outputs = (("out", (1, 300, 6), "float32"),)

    spec = recognise(blind(outputs, ["NonMaxSuppression"], notes)).spec

    assert (spec.family, spec.classes) == ("end2end", ("a", "b"))
    assert spec.outputs.tensors[0].holds == ("boxes", "score", "label")


def test_floats_that_may_be_scores_or_labels_are_both_listed():
    outputs = (("b", (1, 100, 4), "float32"), ("x", (1, 100), "float32"),
               ("y", (1, 100), "float32"), ("n", (1,), "float32"))  # fmt: skip
    facts = blind(outputs, ["NonMaxSuppression", "Loop"])

    with pytest.raises(UnrecognisedError, match="can be read in 2 ways") as caught:
        recognise(facts, override={"classes": COCO91})

    assert "'score': 'x', 'label': 'y'" in caught.value.remedy
    told = {"outputs": {"score": "y", "label": "x"}, "classes": COCO91}
    spec = recognise(facts, override=told).spec
    assert (spec.boxes, spec.normalized, spec.background) == ("yxyx", True, 0)
    assert {t.name: t.holds for t in spec.outputs.tensors}["y"] == ("score",)


def test_a_table_that_is_not_unmistakable_is_refused_with_a_spec_to_paste():
    facts = blind((("out", (1, 300, 6), "float32"),), ["NonMaxSuppression", "Loop"])

    with pytest.raises(UnrecognisedError, match="selects boxes itself") as caught:
        recognise(facts)

    assert (
        "{family: end2end, outputs: {all: out, layout: [boxes, score, label]}, classes: coco80}"
        in caught.value.remedy
    )
    told = {"family": "end2end", "outputs": {"all": "out", "layout": ["label", "score", "boxes"]}}
    spec = recognise(facts, override={**told, "classes": COCO80}).spec
    assert spec.outputs.tensors[0].holds == ("label", "score", "boxes")


def test_a_told_family_whose_shapes_are_not_there_is_refused():
    with pytest.raises(UnrecognisedError, match="of family end2end"):
        recognise(blind((("out", (1, 84, 8400), "float32"),)), override={"family": "end2end"})


def test_classes_that_were_seen_can_not_be_told_otherwise():
    facts = read_facts(models.selected("ultralytics", 3, SIZE))

    with pytest.raises(ConfigError, match="2 names for 3 scores of a box, in output output0"):
        recognise(facts, override={"classes": ("a", "b")})


@pytest.mark.parametrize("strange", [1e12, np.inf, -np.inf, np.nan, -1])
def test_a_row_of_an_image_that_no_batch_has_is_padding(strange):
    holds = ("image", "boxes", "label", "score")
    tensor = OutputTensor(name="rows", holds=holds, axes="n,c")
    rows = np.array([[0, 1, 1, 9, 9, 0, 0.9], [strange, 1, 1, 9, 9, 1, 0.8]], np.float32)
    decoder = build_decoder(spec_of(tensor), [TensorSpec("rows", (None, 7), "float32")])

    (found,) = decoder.candidates({"rows": rows}, threshold=0.1, multi_label=False, limit=10)

    assert found.class_ids.tolist() == [0]
