"""EdgeDetector, the Python face."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import models
import numpy as np
import pytest
import scenes
from clips import write_picture, write_video

from edgecv_cli import EdgeDetector
from edgecv_cli.core.boxes import iou_matrix
from edgecv_cli.core.errors import DataError, EngineError, ModelError, UsageError

ROOT = Path(__file__).resolve().parents[3]
SIZE = (128, 160)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("edge") / "m.onnx"
    path.write_bytes(models.yolov8(size=SIZE, planted=True, ultralytics=True).SerializeToString())
    return path


@pytest.fixture(scope="module")
def detector(model):
    with EdgeDetector(str(model), device="CPU", threads=1) as detector:
        yield detector


def test_three_lines(model):
    frame, boxes, ids = scenes.scene(SIZE, 0, objects=3)

    detector = EdgeDetector(str(model), device="CPU", confidence=0.5)
    found = detector.detect(frame)

    assert isinstance(found, list)
    assert len(found) == len(boxes)
    for x1, y1, x2, y2, confidence, class_id in found:
        assert type(x1) is type(confidence) is float
        assert type(class_id) is int
        assert 0 <= x1 < x2 <= SIZE[1]
        assert 0 <= y1 < y2 <= SIZE[0]
        assert 0.5 <= confidence <= 1
        assert detector.classes[class_id] == f"thing {class_id}"
    overlaps = iou_matrix(boxes, np.asarray([row[:4] for row in found], np.float32))
    assert (overlaps.max(axis=1) > 0.75).all()
    assert [found[index][5] for index in overlaps.argmax(axis=1)] == ids.tolist()
    scores = [row[4] for row in found]
    assert scores == sorted(scores, reverse=True)


def test_nothing_to_see_is_an_empty_list(detector):
    assert detector.detect(np.full((50, 70, 3), 128, np.uint8)) == []


@pytest.mark.parametrize("device", ["CPU", "cpu", "onnxruntime", "onnxruntime:cpu"])
def test_devices(model, device):
    frame, boxes, _ = scenes.scene(SIZE, 1)

    assert len(EdgeDetector(model, device, confidence=0.5).detect(frame)) == len(boxes)


def test_a_higher_confidence_finds_no_more(model):
    frame, _, _ = scenes.scene(SIZE, 1)
    low = EdgeDetector(model, confidence=0.0).detect(frame)
    high = EdgeDetector(model, confidence=0.5).detect(frame)

    assert len(low) > len(high) > 0
    assert EdgeDetector(model, confidence=1.0).detect(frame) == []


@pytest.mark.parametrize(
    "frame",
    [
        None,
        "frame.jpg",
        [[1, 2, 3]],
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 1), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint16),
        np.zeros((8, 8, 3), object),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 0, 3), np.uint8),
    ],
)
def test_what_is_no_frame_is_refused(detector, frame):
    with pytest.raises(DataError, match="a frame must be") as caught:
        detector.detect(frame)

    assert caught.value.remedy


@pytest.mark.parametrize("name", ["confidence", "iou"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_thresholds_outside_their_range_are_refused(model, name, value):
    with pytest.raises(UsageError, match=name):
        EdgeDetector(model, **{name: value})


def test_what_can_not_be_opened_says_why(model, tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        EdgeDetector(tmp_path / "none.onnx")
    with pytest.raises(EngineError, match="no device"):
        EdgeDetector(model, "onnxruntime:abacus")
    with pytest.raises(UsageError, match="no device 'GPU'") as caught:
        EdgeDetector(model, "GPU")
    assert caught.value.remedy.startswith("use one of: CPU, onnxruntime:DEVICE, openvino:DEVICE")


def test_a_model_of_any_size_is_given_one(tmp_path):
    path = tmp_path / "any.onnx"
    path.write_bytes(models.yolov8(planted=True, dynamic="size").SerializeToString())
    frame, boxes, _ = scenes.scene(SIZE, 1)

    with pytest.raises(UsageError, match="any size"):
        EdgeDetector(path)
    found = EdgeDetector(path, confidence=0.5, input_size=SIZE).detect(frame)

    assert len(found) == len(boxes)


def test_a_spec_file_names_the_classes(model, tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text("classes: [red, green, blue]\n")

    assert EdgeDetector(model, spec=str(spec)).classes == ("red", "green", "blue")


def test_a_closed_detector_says_so(model):
    with EdgeDetector(model) as detector:
        pass

    with pytest.raises(EngineError, match="closed"):
        detector.detect(np.zeros((8, 8, 3), np.uint8))


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, edgecv_cli\n"
        "heavy = {'numpy', 'onnx', 'onnxruntime', 'cv2', 'pydantic', 'typer', 'onnx_ir'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "edgecv_cli.EdgeDetector\n"
        "print(sorted({'typer', 'rich', 'onnx_ir', 'onnxsim', 'pycocotools'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert done.stdout.splitlines() == ["[]", "[]"]


def test_an_unknown_name_is_an_attribute_error():
    import edgecv_cli

    with pytest.raises(AttributeError, match="Nonsense"):
        edgecv_cli.Nonsense  # noqa: B018 - reading it is the test


def test_tiles_find_what_is_too_small_in_the_whole_frame(model):
    frame = np.tile(scenes.scene(SIZE, 0, objects=3)[0], (4, 4, 1))

    with EdgeDetector(model) as plain, EdgeDetector(model, tile=SIZE) as tiled:
        assert len(plain.detect(frame)) < 24 < 40 <= len(tiled.detect(frame))


def test_a_tile_without_pixels_is_refused(model):
    with pytest.raises(UsageError, match="tile is"):
        EdgeDetector(model, tile=(0, 64))


def reading():
    return [one.name for one in threading.enumerate() if one.name.startswith("edgecv-")]


def test_a_video_is_looked_at_frame_by_frame_and_let_go(detector, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", frames=6)

    seen = list(detector.stream(clip))

    assert [(one.source, one.index) for one in seen] == [(str(clip), at) for at in range(6)]
    assert all(one.found == detector.detect(one.image) for one in seen)
    assert seen[5].seconds == pytest.approx(5 / 12.5, abs=0.01)
    for one in detector.stream(str(clip)):
        assert one.index == 0
        break
    assert reading() == []


def test_a_folder_gives_its_pictures_and_nothing_is_an_error(detector, tmp_path):
    for name in "ab":
        write_picture(tmp_path / "in" / f"{name}.png")
    seen = list(detector.stream(tmp_path / "in"))
    assert [(Path(one.source).name, one.seconds) for one in seen] == [
        ("a.png", None), ("b.png", None)
    ]  # fmt: skip
    with pytest.raises(DataError, match="does not exist"):
        next(detector.stream(tmp_path / "none.mp4"))
    with pytest.raises(DataError, match="camera 97 can't be opened"):
        next(detector.stream("97"))
    assert reading() == []
