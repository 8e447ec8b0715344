"""What people get wrong: two lines, exit 1 or 2, nothing written, no traceback."""

import ctypes
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import models
import onnx
import pytest
from command_line import edgecv, python
from scenes import scene

from edgecv_cli.core.require import cv2

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models and images, made once; tests copy what they need."""
    folder = tmp_path_factory.mktemp("stock")
    made = {
        "good": models.yolov8(planted=True),
        "dynamic": models.yolov8(planted=True, dynamic="size"),
        "classifier": models.classifier(),
        "segmenter": models.segmenter(),
        "pose": models.pose(),
        "unknown": models.unknown(),
    }
    for name, model in made.items():
        onnx.save(model, str(folder / f"{name}.onnx"))
    images = folder / "images"
    images.mkdir()
    for seed in range(3):
        cv2().imwrite(str(images / f"{seed}.png"), scene(seed=seed)[0])
    return folder


@pytest.fixture
def work(stock: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder of one's own with a good model and images."""
    folder = tmp_path / "with space and ü"
    shutil.copytree(stock, folder)
    yield folder
    folder.chmod(0o755)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


def refuse(work: Path, *args: object, code: int = 1) -> CompletedProcess[str]:
    """Run a command that must be refused as everything is refused, and return what it said."""
    before = tree(work)
    done = edgecv(*args, "--quiet")
    assert done.returncode == code, done.stderr
    first, second = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("  fix: ")
    assert done.stdout == ""
    assert "bug" not in first
    assert tree(work) == before
    return done


def detect(work: Path, model: str, *more: object, code: int = 1) -> str:
    found = work / "found"
    done = refuse(work, "detect", work / model, work / "images", "-o", found, *more, code=code)
    return done.stderr


def quantize(work: Path, model: str, *more: object, code: int = 1) -> str:
    done = refuse(
        work, "quantize", work / model, "-o", work / "out.onnx",
        "--calibration", work / "images", *more, code=code,
    )  # fmt: skip
    return done.stderr


def damaged(work: Path, how: str) -> str:
    """Write a broken model into the folder and return its name."""
    data = bytearray((work / "good.onnx").read_bytes())
    if how == "text":
        data = bytearray(b"This is not a model.\n" * 20)
    elif how == "empty":
        data = bytearray()
    elif how == "truncated":
        del data[len(data) // 2 :]
    else:
        noise = random.Random(7)
        for _ in range(200):
            data[noise.randrange(len(data))] = noise.randrange(256)
    (work / "bad.onnx").write_bytes(data)
    return "bad.onnx"


@pytest.mark.parametrize("how", ["text", "empty", "truncated", "noise"])
@pytest.mark.parametrize("command", ["inspect", "detect", "quantize"])
def test_a_broken_model(work, command, how):
    name = damaged(work, how)
    if command == "inspect":
        said = refuse(work, "inspect", work / name).stderr
    else:
        said = {"detect": detect, "quantize": quantize}[command](work, name)
    assert name in said.splitlines()[0]


def test_a_model_that_is_not_there(work):
    assert "none.onnx" in refuse(work, "inspect", work / "none.onnx").stderr


def test_a_folder_as_a_model(work):
    assert "images" in refuse(work, "inspect", work / "images").stderr


def test_an_open_input_size(work):
    assert "--input-size" in detect(work, "dynamic.onnx", code=2)


def test_an_input_size_that_the_graph_does_not_fit(work):
    said = detect(work, "dynamic.onnx", "--input-size", "65x65", code=2)
    assert "at an input of 65x65 sizes in the graph do not fit together" in said
    assert "multiples of 32" in said


def test_a_quantized_model_that_nothing_would_open(work):
    images = work / "images"
    done = refuse(
        work, "quantize", work / "good.onnx", "-o", work / "small", "--calibration", images, code=2
    )
    said = done.stderr
    assert "--output" in said
    assert "name it small.onnx" in said


@pytest.mark.parametrize(
    ("model", "named"),
    [("classifier", "classif"), ("segmenter", "segment"), ("pose", "pose"), ("unknown", "")],
)
def test_what_is_no_detector_is_named(work, model, named):
    assert named in detect(work, f"{model}.onnx", code=2).splitlines()[0].lower()


def test_an_empty_image_folder(work):
    empty = work / "empty"
    empty.mkdir()
    said = refuse(work, "detect", work / "good.onnx", empty).stderr
    assert "empty" in said
    assert "empty" in quantize(work, "good.onnx", "--calibration", empty)


def test_images_that_are_all_broken(work):
    for path in (work / "images").iterdir():
        path.write_bytes(b"not a picture")
    quantize(work, "good.onnx")


def test_one_broken_image_among_good_ones_is_skipped_counted_and_named(work):
    (work / "images" / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    done = edgecv("detect", work / "good.onnx", work / "images", "-o", work / "found")
    assert done.returncode == 0
    assert "skipped" in done.stdout
    assert "broken.jpg" in done.stdout
    assert "frames 3" in " ".join(done.stdout.split())
    assert len(list((work / "found").glob("*.png"))) == 3


def test_an_existing_output(work):
    (work / "out.onnx").write_bytes(b"precious")
    assert "--force" in quantize(work, "good.onnx", code=2)
    (work / "found").mkdir()
    (work / "found" / "precious.txt").write_text("precious")
    assert "--force" in detect(work, "good.onnx", code=2)


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_an_output_that_is_the_input(work, force):
    model = work / "good.onnx"
    args = ["quantize", model, "-o", model, "--calibration", work / "images", *force]
    refuse(work, *args, code=2)


def test_an_output_that_is_the_input_by_another_name(work):
    link = work / "link.onnx"
    link.symlink_to(work / "good.onnx")
    refuse(
        work, "quantize", link, "-o", work / "good.onnx", "--force",
        "--calibration", work / "images", code=2,
    )  # fmt: skip


def test_an_output_folder_that_is_not_there(work):
    said = quantize(work, "good.onnx", "-o", work / "none" / "out.onnx")
    assert "none" in said


def obey_permissions() -> None:
    """Make root a user like others, for this process and its children."""
    libc = ctypes.CDLL(None)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def test_a_folder_without_write_permission(work):
    closed = work / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    before = tree(work)
    for args in (
        ["quantize", work / "good.onnx", "-o", closed / "o.onnx", "--calibration", work / "images"],
        ["detect", work / "good.onnx", work / "images", "-o", closed / "found"],
    ):
        done = edgecv(*args, "--quiet", preexec=obey_permissions if os.geteuid() == 0 else None)
        assert done.returncode == 1
        first, second = done.stderr.splitlines()
        assert "closed" in first
        assert second.startswith("  fix: ")
    assert tree(work) == before


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--max-drop", "1", "--data", "coco"], "1 of what?"),
        (["--max-drop", "1%"], "--max-drop needs labelled images"),
        (["--target", "toaster"], "--target"),
        (["--images", "0"], "--images"),
        (["--images", "1e99"], "--images"),
        (["--input-size", "64"], "--input-size"),
    ],
)
def test_options_that_make_no_sense(work, options, named):
    assert named in quantize(work, "good.onnx", *options, code=2).splitlines()[0]


def test_an_engine_that_is_unknown(work):
    assert "abacus" in detect(work, "good.onnx", "--engine", "abacus", code=2)


@pytest.mark.parametrize("text", ["family: [", "family: toaster\n", "{}", "- 1\n", "input: 7\n"])
def test_a_spec_file_that_is_wrong(work, text):
    spec = work / "spec.yaml"
    spec.write_text(text)
    done = edgecv("inspect", work / "good.onnx", "--spec", spec)
    if text == "{}":
        assert done.returncode == 0
    else:
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 2


BLOCKED = """
import sys
sys.modules["cv2"] = None
from edgecv_cli.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


def test_inspect_and_help_work_without_cv2(work):
    assert "detector: yolov8" in python("-c", BLOCKED, "inspect", str(work / "good.onnx")).stdout
    assert python("-c", BLOCKED, "detect", "--help").returncode == 0


def test_detect_without_cv2_names_what_to_install(work):
    args = ["detect", str(work / "good.onnx"), str(work / "images"), "--quiet"]
    done = python("-c", BLOCKED, *args)
    assert done.returncode == 1
    assert "pip install" in done.stderr.splitlines()[1]
