"""The calibration audit: silent on good images, and a remedy for each kind of bad ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import models
import numpy as np
import onnx
import pytest
from scenes import scene

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.audit import Stability, audit, stability, too_few
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError

SHARED = Path(__file__).parents[4] / "shared"
SIZE = (96, 128)
COUNT = 36


def write(folder, pictures):
    folder.mkdir(parents=True)
    for place, picture in enumerate(pictures):
        assert cv2.imwrite(str(folder / f"{place:03}.png"), picture)
    return sorted(folder.iterdir())


def busy(seed, size=SIZE):
    """A scene of red and green on a background like no other's."""
    rng = np.random.default_rng(1000 + seed)
    picture, boxes, _ = scene(size, seed, nc=2, objects=3)
    ground = cv2.resize(rng.integers(40, 140, (5, 6, 1), np.uint8), size[::-1])
    free = np.ones(size, bool)
    for x1, y1, x2, y2 in boxes.astype(int):
        free[y1:y2, x1:x2] = False
    picture[free] = ground[free][:, None]
    return picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("audit")


@pytest.fixture(scope="module")
def images(folder):
    return write(folder / "good", [busy(seed) for seed in range(COUNT)])


@pytest.fixture(scope="module")
def judged(folder):
    return write(folder / "judged", [busy(seed) for seed in range(100, 100 + COUNT)])


@pytest.fixture(scope="module")
def model(folder):
    onnx.save(models.yolox(nc=2, size=SIZE, planted=True), folder / "yolox.onnx")
    return Artifact.open(folder / "yolox.onnx")


def checks(model, paths, data=(), **fed):
    spec = model.detector().spec
    spec = spec.replace(input=spec.input.model_copy(update=fed))
    found = audit(model, spec, paths, data, engine="onnxruntime", threads=1, context=Context())
    assert all(entry.remedy for entry in found)
    return {entry.check: entry.found for entry in found}


def test_good_images_raise_no_doubt(model, images, judged):
    assert checks(model, images, judged) == {}


@pytest.mark.parametrize("scale", [255.0, 1 / 255])
def test_values_wrong_by_255_are_told(model, images, scale):
    found = checks(model, images, scale=scale)
    assert set(found) == {"scale"}
    assert "0..255 than" in found["scale"]


def test_the_wrong_order_of_colours_is_told(model, images):
    right = model.detector().spec.input.color
    wrong = {"rgb": "bgr", "bgr": "rgb"}[right]
    found = checks(model, images, color=wrong)
    assert set(found) == {"color"}
    assert f"better to {right} than to {wrong}" in found["color"]


def test_some_blank_images_are_named(model, images, folder):
    black = write(folder / "black", [np.zeros((8, 8, 3), np.uint8)] * 2)
    found = checks(model, [*images, *black])
    assert set(found) == {"blank"}
    assert f"2 of {COUNT + 2}" in found["blank"]
    assert "001.png" in found["blank"]


def test_blank_images_alone_are_refused(model, folder):
    black = write(folder / "all black", [np.zeros((8, 8, 3), np.uint8)] * 3)
    with pytest.raises(DataError, match="all 3 calibration images are of one colour"):
        checks(model, black)


def test_repeated_images_are_counted_and_named(model, images, folder):
    again = [cv2.resize(cv2.imread(str(path)), None, fx=2, fy=2) for path in images[:6]]
    found = checks(model, [*images, *write(folder / "again", again)])
    assert set(found) == {"duplicates"}
    assert f"6 of {COUNT + 6}" in found["duplicates"]
    assert "000.png = 000.png" in found["duplicates"]


def test_images_that_judge_as_well_are_told(model, images, judged, folder):
    copy = folder / "copied.png"
    shutil.copyfile(judged[4], copy)
    found = checks(model, [*images, copy], judged)
    assert set(found) == {"shared"}
    assert f"1 of {COUNT} images of --data" in found["shared"]


def test_night_is_another_domain_than_day(model, images, judged, folder):
    dark = [(cv2.imread(str(path)) * 0.3).astype(np.uint8) for path in images]
    found = checks(model, write(folder / "night", dark), judged)
    assert "domain" in found
    assert "brightness" in found["domain"]


def test_another_aspect_pads_otherwise(model, images, folder):
    tall = write(folder / "tall", [busy(seed, (160, 64)) for seed in range(200, 230)])
    assert set(checks(model, images, tall)) == {"shape"}


def test_few_images_are_told_by_count_or_by_what_halves_say():
    assert too_few(100, None) == ()
    assert too_few(100, Stability(0.04, 0.3, "a")) == ()
    (few,) = too_few(1, None)
    assert "1 image" in few.found
    (unstable,) = too_few(100, Stability(0.2, 0.5, "a"))
    assert "20% in the median and 50% at worst (a)" in unstable.found


def test_stability_is_the_share_in_which_halves_of_ranges_differ():
    first = {"a": (0.0, 8.0), "b": (-1.0, 1.0), "none": (0.0, 0.0)}
    second = {"a": (0.0, 10.0), "b": (-1.0, 1.0), "none": (0.0, 0.0), "other": (0.0, 1.0)}
    found = stability(first, second)
    assert found == Stability(pytest.approx(0.1), pytest.approx(0.2), "a")
    assert stability({}, second) is None


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["fastestdet_352", "yolox_nano_416", "ssd_mobilenet_v1_300"])
def test_real_detectors_and_photos_raise_no_doubt(name):
    if not SHARED.is_dir():
        pytest.skip("needs the real detectors and images of ../shared")
    real = Artifact.open(SHARED / "models" / f"{name}.onnx")
    sets = [
        sorted((SHARED / "data" / part / "images").iterdir())
        for part in ("calibration", "validation")
    ]
    assert checks(real, *sets) == {}


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["fastestdet_352", "yolox_nano_416", "yolov6lite_s_320"])
def test_real_detectors_tell_the_wrong_order_of_colours(name):
    if not SHARED.is_dir():
        pytest.skip("needs the real detectors and images of ../shared")
    real = Artifact.open(SHARED / "models" / f"{name}.onnx")
    wrong = {"rgb": "bgr", "bgr": "rgb"}[real.detector().spec.input.color]
    photos = sorted((SHARED / "data" / "calibration" / "images").iterdir())
    assert set(checks(real, photos, color=wrong)) == {"color"}
