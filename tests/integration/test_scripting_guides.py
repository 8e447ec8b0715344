"""What the guides for scripts and CI say to type works as written."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import cv2
import onnx
import pytest
import yaml
from command_line import ROOT, edgecv, environment
from models import yolov8
from scenes import scene, write_dataset

from edgecv_cli.cli.main import COMMANDS
from edgecv_cli.core import errors

FOLDER = ROOT / "docs" / "guides"
JSON_GUIDE = (FOLDER / "json.md").read_text(encoding="utf-8")
CI_GUIDE = (FOLDER / "ci.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def lines(start):
    return [line for block in blocks(JSON_GUIDE, "sh") for line in block.splitlines()
            if line.startswith(start)]  # fmt: skip


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder that holds what the guide names, and an edgecv that quantizes quickly."""
    folder = tmp_path_factory.mktemp("guide")
    onnx.save(yolov8(planted=True), folder / "model.onnx")
    write_dataset(folder / "coco", images=4)
    (folder / "images").mkdir()
    for index in range(4):
        cv2.imwrite(str(folder / "images" / f"{index}.png"), scene(seed=index)[0])
    quick = "min_speedup: 0\nmax_drop: 20%\nspeed_seconds: 0.1\nplacement: last\n"
    plain = "estimator: minmax\nbias_correction: off\nadaptive_rounding: off\nequalisation: off\n"
    (folder / "quick.yaml").write_text(quick + plain)
    (folder / "bin").mkdir()
    program = folder / "bin" / "edgecv"
    program.write_text(
        '#!/bin/sh\n[ "$1" = quantize ] && set -- "$@" --config quick.yaml\n'
        f'exec "{sys.executable}" -m edgecv_cli "$@"\n'
    )
    program.chmod(0o755)
    return folder


def shell(script, folder):
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-e", "-c", script], cwd=folder, env=environment(PATH=path),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def results(workplace):
    """The files that the guide's commands write, read again."""
    written = [line for line in lines("edgecv ") if " > " in line]
    done = shell("\n".join(written), workplace)
    assert done.returncode == 0, done.stderr
    names = [shlex.split(line)[-1] for line in written]
    return {name: read(workplace / name) for name in names}


def read(file):
    """Return a file's objects: one, or with JSON lines a list."""
    objects = [json.loads(line) for line in file.read_text().splitlines()]
    return objects if file.suffix == ".jsonl" else objects[0]


# Each jq filter of the guide, in Python: the lines that it has to print.
FILTERS = {
    '.detector | "\\(.family) \\(.input_size[0])x\\(.input_size[1])"': lambda r: ["yolov8 64x64"],
    "{map, low: .interval.low, high: .interval.high}": lambda r: [
        {"map": r["map"], "low": r["interval"]["low"], "high": r["interval"]["high"]}
    ],
    '.per_class | to_entries | sort_by(.value)[] | "\\(.key) \\(.value)"': lambda r: [
        f"{key} {json.dumps(value)}".replace("1.0", "1")
        for key, value in sorted(r["per_class"].items(), key=lambda item: item[1])
    ],
    '.saved // "nothing was saved"': lambda r: ["int8.onnx"],
    '.gates | to_entries[] | "\\(.key): \\(.value)"': lambda r: [
        f"{key}: {value}" for key, value in r["gates"].items()
    ],
    ".speedup // empty": lambda r: [r["speedup"]] if "speedup" in r else [],
    "select(.source) | [.source, .frame, (.detections | length)] | @tsv": lambda r: [
        f"{one['source']}\t{one['frame']}\t{len(one['detections'])}" for one in r[:-1]
    ],
    "select(.source) | .detections[] | select(.score > 0.5) | {class_name, box}": lambda r: [
        {"class_name": found["class_name"], "box": found["box"]}
        for one in r[:-1]
        for found in one["detections"]
        if found["score"] > 0.5
    ],
    "last.summary.frames": lambda r: [r[-1]["summary"]["frames"]],
    '.findings[] | select(.level == "error" or .level == "warning") | "\\(.name): \\(.remedy)"': (
        lambda r: [f"{one['name']}: {one['remedy']}" for one in r["findings"]
                   if one["level"] in ("error", "warning")]
    ),
    ".engines[] | select(.available) | .name": lambda r: [
        one["name"] for one in r["engines"] if one["available"]
    ],
}  # fmt: skip


@pytest.mark.parametrize("line", lines("jq "))
def test_each_filter_gives_what_it_says(results, workplace, line):
    words = shlex.split(line)
    expected = FILTERS[words[-2]](results[words[-1]])
    if shutil.which("jq") is None:
        return  # the keys are there, or the line above had failed
    done = shell(line, workplace)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    raw = "-r" in words
    assert (said if raw else [json.loads(text) for text in said]) == expected


def test_each_filter_is_in_the_guide():
    assert {shlex.split(line)[-2] for line in lines("jq ")} == set(FILTERS)


def test_the_error_is_as_shown(workplace):
    (command,) = [line for line in lines("edgecv ") if " > " not in line]
    (shown,) = blocks(JSON_GUIDE, "json")
    done = edgecv(*shlex.split(command)[1:], cwd=workplace)
    assert (done.returncode, json.loads(done.stdout)) == (1, json.loads(shown))


def test_the_kinds_of_errors_are_all_named():
    classes = [one for one in vars(errors).values() if isinstance(one, type)]
    kinds = {one.kind for one in classes if issubclass(one, errors.EdgeCVError)} - {"error"}
    assert all(f"`{kind}`" in JSON_GUIDE for kind in kinds | {"system", "memory", "bug"})


ERROR = {"error": {"kind": "model", "problem": "it is broken", "remedy": "mend it"}}


@pytest.fixture
def standing_in(tmp_path):
    """Return a function that has ``edgecv`` print an object and end with an exit code."""
    program = tmp_path / "bin" / "edgecv"
    program.parent.mkdir()

    def stand_in(code, result):
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(result)}\nEND\nexit {code}\n")
        program.chmod(0o755)

    return stand_in


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_gate_in_a_shell_script(results, standing_in, tmp_path):
    (script,) = blocks(JSON_GUIDE, "bash")

    def said(code, result):
        standing_in(code, result)
        done = shell(script, tmp_path)
        return done.returncode, done.stdout

    good = results["quantize.json"]
    points = json.dumps(good["drop"]["points"]).removesuffix(".0")
    assert said(0, good) == (0, f"saved int8.onnx, lost {points} points\n")
    code, refused = said(3, {**good, "saved": None})
    assert (code, refused.startswith('refused: {"max_drop":')) == (0, True)
    assert said(1, ERROR) == (1, "failed: it is broken\n")


def test_the_python_example(results, standing_in, tmp_path):
    (script,) = blocks(JSON_GUIDE, "python")
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(script)}"
    standing_in(0, results["evaluate.json"])
    done = shell(command, tmp_path)
    assert re.fullmatch(r"mAP [01]\.\d{3} on 4 images\n", done.stdout), done.stderr
    standing_in(1, ERROR)
    assert shell(command, tmp_path).stdout == "it is broken -> mend it\n"


def test_the_ci_guides_commands_parse_and_its_files_are_published():
    template = yaml.safe_load((ROOT / "docs" / "ci" / "gitlab-ci.yml").read_text())
    job = template["edgecv"]
    for file in re.findall(r"^\| `([\w./]+)` \|", CI_GUIDE, re.MULTILINE):
        assert any(file.startswith(folder) for folder in job["artifacts"]["paths"])
    for command in re.findall(r"^edgecv (\w+)", "\n".join(blocks(CI_GUIDE, "sh")), re.MULTILINE):
        assert command in COMMANDS


@pytest.mark.parametrize("guide", ["json.md", "ci.md"])
def test_links_lead_somewhere(guide):
    text = (FOLDER / guide).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (FOLDER / target).exists(), target
