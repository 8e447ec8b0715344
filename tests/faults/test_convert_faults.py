"""convert-openvino killed while it puts its files in place, and without room for them."""

from __future__ import annotations

import importlib.util
import resource
import signal

import onnx
import pytest
from command_line import python
from models import yolov8

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.convert_openvino import ConvertOpenVinoConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EngineError, ModelError
from edgecv_cli.runtime.opening import open_runner
from edgecv_cli.stages.convert_openvino import convert_openvino

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="the package openvino is not installed: pip install -e '.[openvino]'",
)

KILLED_AT_A_RENAME = """
import os, signal, sys
from pathlib import Path
from edgecv_cli.cli.main import run

left = [int(sys.argv[1])]
replace = Path.replace

def dying(path, target):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(path, target)

Path.replace = dying
run(["convert-openvino", *sys.argv[2:], "--speed-seconds", "0", "--threads", "1", "--quiet"])
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(yolov8(planted=True), path)
    return path


def convert(model, out, **options):
    config = ConvertOpenVinoConfig(model=model, output=out, speed_seconds=0, threads=1, **options)
    return convert_openvino(config, Context())


def killed(rename, model, out, *flags):
    done = python("-c", KILLED_AT_A_RENAME, str(rename), str(model), "-o", str(out), *flags)
    assert done.returncode == -signal.SIGKILL, done.stderr


def standing(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_killed_before_the_last_rename_the_parts_are_no_obstacle_to_the_next_run(model, tmp_path):
    out = tmp_path / "out" / "m.xml"
    out.parent.mkdir()

    killed(3, model, out)

    assert standing(out.parent) == ["m.bin", "m.xml.edgecv.json"]
    assert convert(model, out).saved
    everything = ["m.bin", "m.xml", "m.xml.edgecv.json"]
    assert sorted(path.name for path in out.parent.iterdir()) == everything


def test_killed_amid_replacing_a_pair_the_two_are_not_taken_for_one(model, tmp_path):
    out = tmp_path / "out" / "m.xml"
    out.parent.mkdir()
    older = tmp_path / "older.onnx"
    onnx.save(yolov8(planted=True, seed=5), older)
    convert(older, out)

    killed(2, model, out, "--force")

    with pytest.raises(ModelError, match="does not hold the weights"):
        open_runner(Artifact.open(out), "openvino")
    assert convert(model, out, force=True).saved
    open_runner(Artifact.open(out), "openvino").close()


def test_without_room_for_its_files_nothing_is_left(model, tmp_path):
    out = tmp_path / "out" / "m.xml"
    out.parent.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(EngineError, match="can't write") as caught:
            convert(model, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert "space" in caught.value.remedy
    assert list(out.parent.iterdir()) == []
