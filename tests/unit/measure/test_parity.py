"""Raw outputs of two networks: how far apart, in which part, and when not comparable."""

from __future__ import annotations

import models
import numpy as np
import pytest

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.context import Context
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.measure.parity import parity, pictures_for
from edgecv_cli.runtime.base import Execution


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    path = tmp_path_factory.mktemp("spec") / "model.onnx"
    path.write_bytes(models.yolov8().SerializeToString())
    return Artifact.open(path).detector().spec


class Network:
    """Answers every picture with the same output."""

    execution = Execution("fake", "1", "fake", "cpu", "unknown")

    def __init__(self, output):
        self.inputs = (TensorSpec("images", (1, 3, 64, 64), "float32"),)
        self.outputs = (TensorSpec("output0", output.shape, "float32"),)
        self.output = output
        self.runs = 0

    def requests(self, n):
        raise NotImplementedError

    def infer(self, feeds):
        assert feeds["images"].shape == (1, 3, 64, 64)
        self.runs += 1
        return {"output0": self.output}

    def close(self):
        """Nothing is held."""


@pytest.fixture
def answer():
    output = np.zeros((1, 7, 84), np.float32)
    output[:, :4] = 40.0  # boxes
    output[:, 4:] = 0.5  # scores of three classes
    return output


def compare(a, b, spec):
    pictures, source = pictures_for((), spec, seed=0)
    first = Network(a)
    found = parity(first, Network(b), spec, pictures, Context(), source=source)
    assert first.runs == found.pictures == len(pictures)
    return found


def test_what_is_equal_is_the_same_and_has_no_noise(answer, spec):
    found = compare(answer, answer.copy(), spec)

    assert all(one.same for one in found.outputs)
    assert found.snr_db is None
    assert found.max_abs == 0.0
    assert found.source == "drawn pictures"


def test_scores_are_not_hidden_by_boxes(answer, spec):
    other = answer.copy()
    other[:, 4:] = 0.0  # of the energy of the whole output, 1 / 5000

    found = compare(answer, other, spec)

    boxes, scores = found.outputs
    assert (boxes.output, boxes.same) == ("output0, boxes", True)
    assert scores.output == "output0, scores"
    assert scores.snr_db == pytest.approx(0.0)
    assert scores.max_abs == pytest.approx(0.5)
    assert scores.relative == pytest.approx(1.0)
    assert (found.snr_db, found.max_abs) == (scores.snr_db, scores.max_abs)


def test_a_hundredth_is_forty_decibels(answer, spec):
    found = compare(answer, answer * np.float32(1.01), spec)

    assert found.snr_db == pytest.approx(40.0, abs=0.01)
    assert found.relative == pytest.approx(0.01, rel=1e-3)


def test_another_shape_is_a_problem_and_no_number(answer, spec):
    found = compare(answer, answer[:, :, :5], spec)

    assert "differ" in found.problem
    assert found.snr_db is None
    assert not any(one.same for one in found.outputs)


def test_what_is_not_finite_is_a_problem(answer, spec):
    other = answer.copy()
    other[0, 5, 0] = np.nan

    found = compare(answer, other, spec)

    assert "not finite" in found.problem
    assert found.outputs[0].same


def test_files_are_read_and_no_more_than_a_few(tmp_path, spec):
    import cv2

    paths = [tmp_path / f"{number:02d}.png" for number in range(20)]
    for path in paths:
        assert cv2.imwrite(str(path), np.full((8, 8, 3), 7, np.uint8))

    pictures, source = pictures_for(paths, spec, seed=0)

    assert source == "images"
    assert len(pictures) == 8
    assert (pictures[0] == 7).all()
