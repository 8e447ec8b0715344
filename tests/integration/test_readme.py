"""What the README tells people to type works as written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import cv2
import onnx
import pytest
from command_line import edgecv, python
from models import yolov8
from scenes import scene, write_dataset

from edgecv_cli.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands():
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("edgecv ") and line != "edgecv demo"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder that holds what the README's commands name."""
    folder = tmp_path_factory.mktemp("readme")
    onnx.save(yolov8(planted=True), folder / "model.onnx")
    write_dataset(folder / "coco", images=8)
    for name in ("images", "photos"):
        (folder / name).mkdir()
        for index in range(6):
            cv2.imwrite(str(folder / name / f"{index}.png"), scene(seed=index)[0])
    cv2.imwrite(str(folder / "photo.jpg"), scene(seed=0)[0])
    return folder


def test_the_commands_run_in_their_order(workplace):
    assert len(commands()) >= 4
    for line in commands():
        arguments = shlex.split(line)[1:]
        if arguments[0] == "quantize":
            # A planted toy loses more than a trained network, and gains no time.
            arguments = [part if part != "1%" else "30%" for part in arguments]
            arguments += ["--min-speedup", "0", "--speed-seconds", "0.2", "--placement", "last"]
        if arguments[0] == "benchmark":
            arguments += ["--duration", "0.2"]
        done = edgecv(*arguments, cwd=workplace)
        assert done.returncode == 0, (line, done.stderr)
    assert (workplace / "int8.onnx").is_file()
    assert any((workplace / "found").iterdir())


def test_the_python_example_prints_what_it_finds(workplace):
    (example,) = blocks("python")
    done = python("-c", example, cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert re.match(r"(red|green|blue|class_\d) 0\.\d+", done.stdout)


def test_each_command_is_in_the_table():
    named = set(re.findall(r"^\| \[?`edgecv ([\w-]+)", README, re.MULTILINE))
    assert named == set(COMMANDS)


def test_each_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_scripts_that_it_names_are_there():
    for script in re.findall(r"sh (scripts/\w+)", README):
        assert (ROOT / script).is_file()
