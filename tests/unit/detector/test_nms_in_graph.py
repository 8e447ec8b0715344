"""NMS in a graph, against the decoder and the suppression that run beside a network."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from models import nanodet_plus, ssd, yolov8, yolox

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.detector.heads import build_decoder
from edgecv_cli.detector.nms import suppress
from edgecv_cli.detector.nms_in_graph import Suppression, with_rows
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.normalise import normalise

BUILDERS = {"yolov8": yolov8, "yolox": yolox, "ssd": ssd, "nanodet-plus": nanodet_plus}


def run(model, feeds):
    session = ort.InferenceSession(serialize(model), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


@pytest.fixture(scope="module", params=BUILDERS)
def detector(request, tmp_path_factory):
    """A seeded detector: its graph, spec, outputs, and what they are for a picture of noise."""
    path = tmp_path_factory.mktemp("in") / "model.onnx"
    onnx.save(BUILDERS[request.param](), path)
    artifact = Artifact.open(path)
    spec, facts = artifact.detector().spec, artifact.facts()
    model = normalise(artifact.model, input_size=spec.input.size)
    (image,) = facts.inputs
    shape = [side or 1 for side in image.shape]
    feeds = {image.name: np.random.default_rng(1).random(shape).astype(np.float32)}
    return model, spec, facts.outputs, feeds


@pytest.mark.parametrize("iou", [0.3, 0.9])
def test_rows_are_what_is_found_beside_the_network(detector, iou):
    model, spec, outputs, feeds = detector
    decoder = build_decoder(spec, outputs)
    plain = run(model, feeds)
    (every,) = decoder.candidates(plain, threshold=0.0, multi_label=False, limit=10_000)
    # between two scores, so that rounding decides nothing
    ranked = np.sort(every.scores)[::-1]
    bar = float((ranked[39] + ranked[40]) / 2) if len(ranked) > 40 else 0.0
    some = every.take(every.scores > bar)
    expected = suppress(some, iou=iou, limit=300)

    inside, read = with_rows(model, spec, outputs, Suppression(score=bar, iou=iou, limit=300))
    answer = run(inside, feeds)
    (found,) = build_decoder(read, Outputs.of(inside)).candidates(
        answer, threshold=bar, multi_label=False, limit=300
    )

    assert 0 < len(expected) == len(found)
    for kind in set(expected.class_ids.tolist()) | set(found.class_ids.tolist()):
        ours = found.take(found.class_ids == kind)
        theirs = expected.take(expected.class_ids == kind)
        assert np.allclose(ours.scores, theirs.scores, atol=1e-5)
        assert np.allclose(ours.boxes, theirs.boxes, rtol=1e-4, atol=1e-2)
    (rows,) = answer.values()
    assert rows.shape == (1, 300, 6)
    assert (rows[0, len(found) :] == 0).all()
    assert (np.diff(rows[0, :, 4]) <= 0).all()


class Outputs:
    """The outputs of a graph as a decoder takes them."""

    @staticmethod
    def of(model):
        from edgecv_cli.core.tensors import TensorSpec

        return [
            TensorSpec(
                one.name, tuple(d.dim_value for d in one.type.tensor_type.shape.dim), "float32"
            )
            for one in model.graph.output
        ]


def test_fewer_rows_are_the_best(detector):
    model, spec, outputs, feeds = detector

    many, few = (
        next(iter(run(with_rows(model, spec, outputs, how)[0], feeds).values()))
        for how in (Suppression(0.0, 0.9, 40), Suppression(0.0, 0.9, 5))
    )

    assert np.array_equal(many[:, :5, 4], few[:, :, 4])
