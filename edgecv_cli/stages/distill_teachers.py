"""Who says what is in a picture: another detector, or the labels of a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.training.pictures import Crop, Picture
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.errors import UsageError
from edgecv_cli.detector.profiles import Profile
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.shapes import infer_shapes
from edgecv_cli.graph.topology import Topology
from edgecv_cli.inference.predictor import open_predictor
from edgecv_cli.media.class_map import map_classes, plain_name
from edgecv_cli.media.dataset import Dataset

SURE = 0.1
"""Score from which on what a teacher says counts; its scores are learned, not its threshold."""
_PROFILE = Profile(threshold=SURE, iou=0.65, candidates=3000, detections=100, multi_label=False)
_LEAST_SIDE = 2.0  # pixels that must be left of an object at a crop's edge
_LEAST_PART = 0.3  # of its area


class ModelTeacher:
    """Another detector, run by ONNX Runtime.

    Args:
        artifact: the detector.
        spec: how it is fed and read.
        classes: its class index -> the student's; what is not in it is not taught.
        threads: of the engine.
    """

    def __init__(
        self,
        artifact: Artifact,
        spec: DetectorSpec,
        classes: Mapping[int, int],
        threads: int | None,
    ) -> None:
        self._predictor = open_predictor(artifact, spec, threads=threads, profile=_PROFILE)
        self._classes = classes
        self._whole: dict[Path, Detections] = {}
        self.digest = artifact.content_digest

    def __call__(self, path: Path, picture: Picture, crop: Crop | None) -> Detections:
        """Return what the detector finds, as the student's classes."""
        if crop is None and path in self._whole:
            return self._whole[path]
        found = as_classes(self._predictor.predict(picture), self._classes)
        if crop is None:
            self._whole[path] = found
        return found

    def close(self) -> None:
        """Free the engine's memory."""
        self._predictor.close()


class LabelTeacher:
    """The labels of a folder."""

    def __init__(self, data: Dataset, spec: DetectorSpec) -> None:
        """Read the labels.

        Raises:
            DataError: their classes are not the student's.
        """
        of = {
            category: index
            for index, category in map_classes(
                spec.classes, data, background=spec.background
            ).items()
        }
        self.digest = data.digest
        self._objects = {}
        for item in data.items:
            known = [
                place
                for place, (category, crowd) in enumerate(
                    zip(item.category_ids.tolist(), item.iscrowd.tolist(), strict=True)
                )
                if category in of and not crowd
            ]
            self._objects[item.path] = Detections(
                item.boxes[known],
                np.ones(len(known), np.float32),
                np.array([of[int(one)] for one in item.category_ids[known]], np.int64),
            )

    def __call__(self, path: Path, picture: Picture, crop: Crop | None) -> Detections:  # noqa: ARG002
        """Return the labelled objects, those that a crop leaves enough of."""
        whole = self._objects[path]
        if crop is None:
            return whole
        boxes = crop.boxes(whole.boxes)
        sides = boxes[:, 2:] - boxes[:, :2]
        before = (whole.boxes[:, 2:] - whole.boxes[:, :2]).prod(axis=1)
        left = (sides > _LEAST_SIDE).all(axis=1) & (sides.prod(axis=1) >= _LEAST_PART * before)
        return Detections(boxes[left], whole.scores[left], whole.class_ids[left])

    def close(self) -> None:
        """Nothing is held."""


def common_classes(student: DetectorSpec, teacher: DetectorSpec) -> dict[int, int]:
    """Return the teacher's class index -> the student's, by name.

    Raises:
        UsageError: no class of the student's is one of the teacher's.
    """
    known = {
        plain_name(name): index
        for index, name in enumerate(student.classes)
        if index != student.background
    }
    found = {
        index: known[plain_name(name)]
        for index, name in enumerate(teacher.classes)
        if index != teacher.background and plain_name(name) in known
    }
    if not found:
        raise UsageError(
            f"teacher and student have no class in common: {_some(teacher.classes)} and "
            f"{_some(student.classes)}",
            remedy="give both the same names for the same things, in --spec for the student or in "
            "the teacher's metadata",
        )
    return found


def heads_of(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the raw predictions of a normalised detector: what its decode tail reads."""
    return Topology.of(model).heads or tuple(value.name for value in model.graph.output)


def features_of(student: onnx.ModelProto, teacher: onnx.ModelProto) -> tuple[str, ...]:
    """Return the feature maps that raw predictions are made of, where both have the same.

    Args:
        student, teacher: normalised, with the same heads.
    """
    topology = Topology.of(student)
    layers = [topology.layers[head] for head in heads_of(student) if head in topology.layers]
    shapes, asked = infer_shapes(student), infer_shapes(teacher)
    found = dict.fromkeys(layer.data for layer in layers)
    return tuple(name for name in found if name in asked and shapes.get(name) == asked[name])


def heads_apart(
    student: onnx.ModelProto,
    teacher: onnx.ModelProto,
    *,
    specs: tuple[DetectorSpec, DetectorSpec],
) -> str | None:
    """Say why a student can't learn a teacher's raw predictions; None where it can.

    Args:
        student, teacher: normalised.
        specs: how each is fed and read, the student's first.
    """
    own, theirs = specs
    if own.classes != theirs.classes or own.background != theirs.background:
        return "their classes are others, or in another order"
    if own.input.model_dump(exclude={"name"}) != theirs.input.model_dump(exclude={"name"}):
        return "they are fed otherwise"
    if [one.name for one in student.graph.input] != [one.name for one in teacher.graph.input]:
        return "their inputs have other names"
    heads, other = heads_of(student), heads_of(teacher)
    if set(heads) != set(other):
        return f"raw predictions have other names: {_some(other)} and {_some(heads)}"
    shapes, asked = infer_shapes(student), infer_shapes(teacher)
    for name in heads:
        if shapes.get(name) != asked.get(name):
            return f"'{name}' has another shape"
    return None


def as_classes(found: Detections, classes: Mapping[int, int]) -> Detections:
    """Return detections with other class indices; those that have none are left out."""
    kept = np.array([int(one) in classes for one in found.class_ids], np.bool_)
    taken = found.take(kept)
    ids = np.array([classes[int(one)] for one in taken.class_ids], np.int64)
    return Detections(taken.boxes, taken.scores, ids)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
