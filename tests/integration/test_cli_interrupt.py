"""Ctrl-C in long commands: exit 130, nothing half written, no process left behind."""

import os
import signal
import time
from pathlib import Path
from subprocess import Popen

import models
import onnx
import pytest
from command_line import ROOT, SECONDS, python, start
from scenes import scene

from edgecv_cli.core.require import cv2

IMAGES = 400


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A model, and enough images to be busy with."""
    onnx.save(models.yolov8(planted=True, size=(320, 320)), str(tmp_path / "model.onnx"))
    images = tmp_path / "images"
    images.mkdir()
    cv2().imwrite(str(images / "0.png"), scene(size=(640, 640), objects=4)[0])
    for number in range(1, IMAGES):
        os.link(images / "0.png", images / f"{number}.png")
    return tmp_path


def left_behind(mark: str) -> list[str]:
    """Return the command lines of living processes that carry a mark in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it ended while we looked, or is not ours
    return found


def interrupt(process: Popen[str], work: Path, *, until: str) -> str:
    """Send Ctrl-C once files of the output are being written or a line was said."""
    assert process.stderr is not None
    heard = []
    deadline = time.monotonic() + SECONDS
    if until:
        while not any(until in line for line in heard):
            heard.append(process.stderr.readline())
            assert heard[-1], heard
    else:
        while len(list(work.glob(".*.edgecv-tmp/**/*.png"))) < 3:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=SECONDS)
    return said


@pytest.mark.parametrize(
    ("command", "until"),
    [
        pytest.param(["detect", "model.onnx", "images", "-o", "found"], "", id="detect"),
        pytest.param(
            ["quantize", "model.onnx", "-o", "out.onnx", "--calibration", "images",
             "--images", "50", "--speed-seconds", "60", "--keep-rejected", "kept.onnx"],
            "calibrate",
            id="quantize",
        ),
    ],
)  # fmt: skip
def test_ctrl_c_leaves_nothing(work, command, until, monkeypatch):
    mark = f"edgecv-test-{os.getpid()}-{command[0]}"
    monkeypatch.setenv("EDGECV_TEST_MARK", mark)
    monkeypatch.chdir(work)
    process = start(["-m", "edgecv_cli", *command])
    monkeypatch.delenv("EDGECV_TEST_MARK")
    said = interrupt(process, work, until=until)
    assert process.returncode == 130, said
    assert said.splitlines()[-2].startswith("error: interrupted")
    assert "Traceback" not in said
    assert {path.name for path in work.iterdir()} == {"model.onnx", "images"}
    assert left_behind(mark) == []


def test_ctrl_c_while_python_still_imports_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    path = f"{tmp_path}{os.pathsep}{ROOT}"

    done = python("-m", "edgecv_cli", "--help", PYTHONPATH=path)

    assert done.returncode == 130
    assert done.stderr.splitlines() == ["error: interrupted", "  fix: run the command again"]
