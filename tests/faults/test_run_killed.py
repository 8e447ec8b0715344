"""A pipeline that is killed (SIGKILL) goes on where it was, to the same bytes."""

from __future__ import annotations

import json
import signal

import onnx
import pytest
from command_line import ROOT, python
from models import yolov8
from scenes import write_dataset

FAKE = """model: m.onnx
calibration: set
data: set
steps:
  - {id: first, stage: stamp, word: one, output: out/first.onnx}
  - {id: second, stage: stamp, word: two, output: out/second.onnx, result: out/second.json}
  - {id: counted, stage: count}
  - {id: listed, stage: files, output: out/listed}
"""

REAL = """model: m.onnx
calibration: set
data: set
threads: 1
steps:
  - {id: before, stage: evaluate}
  - {id: made, stage: stamp, output: out/made.onnx}
  - {id: after, stage: evaluate}
  - {id: pictures, stage: detect, sources: set/images, save: image, output: out/pictures}
"""


@pytest.fixture
def work(tmp_path):
    onnx.save(yolov8(planted=True), tmp_path / "m.onnx")
    write_dataset(tmp_path / "set", images=6)
    return tmp_path


def outputs(folder):
    """What was published; a sidecar stands beside each model."""
    files = sorted(path for path in (folder / "out").rglob("*") if path.is_file())
    return [str(file.relative_to(folder)) for file in files if ".edgecv." not in file.name]


def leftovers(folder):
    return [path.name for path in folder.rglob("*.edgecv-tmp")]


@pytest.mark.parametrize(
    ("write", "finished"),
    [(5, ["first"]), (9, ["first", "second", "counted"])],
    ids=["a record", "a content"],
)
def test_killed_inside_a_write_to_the_store(work, write, finished):
    (work / "p.yaml").write_text(FAKE)
    log = work / "log"
    script = [str(ROOT / "tests" / "killed_run.py"), str(work / "p.yaml"), str(work / "cache")]
    killed = python(*script, EDGECV_TEST_LOG=str(log), EDGECV_TEST_KILL=str(write))
    assert killed.returncode == -signal.SIGKILL
    assert list((work / "cache").glob("*.tmp"))

    again = python(*script, EDGECV_TEST_LOG=str(log))

    assert again.returncode == 0, again.stderr
    statuses = dict(line.split() for line in again.stdout.splitlines())
    assert [step for step, status in statuses.items() if status == "cached"] == finished
    ends = [line for line in log.read_text().splitlines() if line.startswith("end ")]
    assert len(ends) == len(set(ends)) + 1  # the one that was being written when it died
    assert leftovers(work) == []
    assert not list((work / "cache").glob("*.tmp"))
    assert outputs(work) == [
        "out/first.onnx",
        "out/listed/all.txt",
        "out/listed/deep/0.txt",
        "out/listed/deep/1.txt",
        "out/second.json",
        "out/second.onnx",
    ]


@pytest.mark.slow
def test_killed_at_twenty_random_moments(work):
    """Real inference between fake compression; the child processes are forked, to be quick."""
    (work / "p.yaml").write_text(REAL)
    log = work / "log"
    script = [str(ROOT / "tests" / "killed_run.py"), str(work / "p.yaml"), str(work / "cache")]

    done = python(*script, "20", EDGECV_TEST_LOG=str(log))

    assert done.returncode == 0, done.stderr
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(entry["killed"] for entry in rounds) == 20
    reached = {len(entry["finished"]) for entry in rounds}
    assert len(reached) > 2, "the moments are not spread over the run"
