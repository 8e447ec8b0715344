"""What must hold for every family: add a line to FAMILIES for a new one.

Recognition reads what a graph does, so names, order of outputs, operator set, size and number of
classes change nothing; and what one family leaves unclaimed, no other may claim.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import models
import numpy as np
import onnx
import pytest
import scenes
from command_line import edgecv

from edgecv_cli.core.errors import UnrecognisedError, UsageError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.heads import HEADS, build_decoder
from edgecv_cli.detector.metadata import SPEC_KEY
from edgecv_cli.detector.probing import shapes_of
from edgecv_cli.detector.recognise import recognise
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.facts import GraphFacts
from edgecv_cli.graph.inspect import read_facts

Build = Callable[..., onnx.ModelProto]


@dataclass(frozen=True)
class Family:
    """A builder's family; ``told`` is what it asks for; ``classes`` beyond the builder's."""

    name: str
    build: Build
    told: tuple[tuple[str, object], ...] = ()
    more: int = 0
    least: int = 1
    most: int = 91


FAMILIES = {
    "yolov5": Family("yolov5", models.yolov5),
    "yolov5 raw": Family("yolov5", models.yolov5_raw, (("anchors", "yolov5"),)),
    "yolov8": Family("yolov8", models.yolov8),
    "yolox": Family("yolox", models.yolox),
    "yolov6-lite": Family("yolov6-lite", models.yolov6_lite),
    "nanodet": Family("nanodet", models.nanodet),
    "nanodet-plus": Family("nanodet-plus", models.nanodet_plus),
    "picodet": Family("picodet", models.picodet),
    "ssd": Family("ssd", models.ssd, more=1),
    "fastestdet": Family("fastestdet", models.fastestdet),
    "yolo-fastestv2": Family("yolo-fastestv2", models.yolo_fastestv2),
    "detr": Family("detr", models.detr),
    "detr softmax": Family("detr", functools.partial(models.detr, softmax=True), least=2),
    **{
        f"end2end {kind}": Family(
            "end2end", functools.partial(models.selected, kind),
            more=kind in ("torchvision", "tensorflow"),
            # few rows, and a background that layers may count in, leave more classes open
            most={"torchvision": 2, "tensorflow": 20}.get(kind, 91),
        )
        for kind in models.SELECTED
    },
    "retina": Family("retina", lambda _, size, opset: models.retina(size, opset), more=1, most=1),
    "yunet": Family("yunet", lambda _, size, opset: models.yunet(size, opset), most=1),
}  # fmt: skip
CASES = ((1, (64, 96), 11), (2, (96, 64), 13), (20, (64, 64), 17), (91, (64, 96), 21))


@functools.cache
def facts_of(kind: str, nc: int, size: tuple[int, int], opset: int, changed: bool) -> GraphFacts:
    model = FAMILIES[kind].build(nc, size, opset)
    return read_facts(models.renamed(models.reordered(model)) if changed else model)


def told_to(kind):
    return dict(FAMILIES[kind].told)


def unnamed(spec: DetectorSpec) -> tuple[object, ...]:
    """What is left of a spec without names and order of tensors."""
    plain = spec.model_dump(exclude={"outputs", "extra_inputs"})
    plain["input"].pop("name")
    held = sorted((t.holds, t.axes, t.stride or 0) for t in spec.outputs.tensors)
    return plain, held, sorted(map(str, spec.extra_inputs.values()))


@pytest.mark.parametrize(("nc", "size", "opset"), CASES)
@pytest.mark.parametrize("kind", FAMILIES)
def test_classes_sizes_and_operator_sets_change_nothing(kind, nc, size, opset):
    family = FAMILIES[kind]
    if not family.least <= nc <= family.most:
        pytest.skip(f"{kind} is built with {family.least} to {family.most} classes")

    spec = recognise(facts_of(kind, nc, size, opset, False), override=told_to(kind)).spec

    assert (spec.family, len(spec.classes)) == (family.name, nc + family.more)


@pytest.mark.parametrize("kind", FAMILIES)
def test_names_and_the_order_of_outputs_change_nothing(kind):
    nc = min(2, FAMILIES[kind].most)
    plain, changed = (
        recognise(facts_of(kind, nc, (96, 64), 13, way), override=told_to(kind)).spec
        for way in (False, True)
    )

    assert unnamed(plain) == unnamed(changed)


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_family_that_is_left_out_is_refused_and_not_guessed(kind):
    others = [head for head in HEADS if head.family != FAMILIES[kind].name]
    nc = min(2, FAMILIES[kind].most)

    with pytest.raises(UnrecognisedError):
        recognise(facts_of(kind, nc, (96, 64), 13, False), heads=others)


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_stored_spec_reads_the_same_boxes_without_being_told(kind):
    nc = min(2, FAMILIES[kind].most)
    facts = facts_of(kind, nc, (96, 64), 13, False)
    spec = recognise(facts, override=told_to(kind)).spec
    carried = GraphFacts(**{**vars(facts), "metadata": {SPEC_KEY: spec.dumps()}})
    again = recognise(carried).spec

    assert DetectorSpec.loads(spec.dumps()) == again == spec
    types = {output.name: output.dtype for output in facts.outputs}
    specs = [TensorSpec(name, shape, types[name]) for name, shape in shapes_of(facts).items()]
    outputs = {name: np.asarray(facts.tail.noise[name], types[name]) for name in types}
    first, second = (
        build_decoder(way, specs).candidates(outputs, threshold=0.1, multi_label=True, limit=500)
        for way in (spec, again)
    )
    assert sum(map(len, first)) > 0
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize("kind", FAMILIES)
def test_another_family_is_refused_or_followed_with_doubt(kind):
    nc = min(2, FAMILIES[kind].most)
    facts = facts_of(kind, nc, (96, 64), 13, False)
    for head in HEADS:
        if head.family == FAMILIES[kind].name:
            continue
        try:
            found = recognise(facts, override={"family": head.family})
        except UsageError:  # exit 2; anything else is a failure
            continue
        assert found.spec.family == head.family
        assert found.confidence <= 0.3
        assert any(f"does not answer as family {head.family}" in e for e in found.evidence)


def test_open_readings_are_listed_and_leave_with_2(tmp_path):
    model = tmp_path / "open.onnx"
    onnx.save(models.detr(4, biased=False), model)
    image, _, _ = scenes.scene()
    assert cv2.imwrite(str(tmp_path / "image.png"), image)

    result = edgecv("detect", model, tmp_path / "image.png")

    assert result.returncode == 2
    assert "can be read in 2 ways" in result.stderr
    assert "activations: sigmoid" in result.stderr
    assert "activations: softmax" in result.stderr
