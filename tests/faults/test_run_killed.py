"""A pipeline that is killed (SIGKILL) goes on where it was, to the same bytes."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time

import onnx
import pytest
from command_line import ROOT, SECONDS, edgecv, environment, python
from models import yolov8
from scenes import write_dataset

from edgecv_cli.core.files import sha256_file

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
  - id: int8
    stage: quantize
    placement: last
    estimator: minmax
    bias_correction: on
    max_drop: 20%
    min_speedup: 0
    speed_seconds: 0.2
    output: out/int8.onnx
    save_plan: out/plan.json
  - {id: after, stage: evaluate}
  - {id: pictures, stage: detect, sources: set/images, save: image, output: out/pictures}
"""
KILLS = 20


@pytest.fixture
def work(tmp_path):
    onnx.save(yolov8(planted=True), tmp_path / "m.onnx")
    write_dataset(tmp_path / "set", images=6)
    return tmp_path


def outputs(folder):
    """Digests of what was published; sidecars hold times, which no two runs share."""
    files = sorted(path for path in (folder / "out").rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in files
        if not path.name.endswith(".edgecv.json")
    }


def leftovers(folder):
    return [path.name for path in folder.rglob("*.edgecv-tmp")]


@pytest.mark.parametrize(
    ("write", "finished"),
    [(2, []), (5, ["first"]), (9, ["first", "second", "counted"])],
    ids=["first record", "second record", "last content"],
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
    assert sorted(outputs(work)) == [
        "out/first.onnx",
        "out/listed/all.txt",
        "out/listed/deep/0.txt",
        "out/listed/deep/1.txt",
        "out/second.json",
        "out/second.onnx",
    ]


def statuses(work, *options):
    """What ``edgecv run --json`` says of each step."""
    done = edgecv("run", work / "p.yaml", "--cache", work / "cache", "--json", *options)
    assert done.returncode == 0, done.stderr
    return {step["id"]: step["status"] for step in json.loads(done.stdout)["steps"]}


def killed_at(work, seconds):
    """Start a run and kill it after some seconds; returns whether it was still at work."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edgecv_cli", "run", work / "p.yaml", "--cache", work / "cache"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    return process.wait(SECONDS) == -signal.SIGKILL


@pytest.mark.slow
def test_killed_at_twenty_random_moments(work):
    (work / "p.yaml").write_text(REAL)
    began = time.monotonic()
    assert set(statuses(work).values()) == {"done"}
    took = time.monotonic() - began
    whole = outputs(work)
    assert len(whole) == 8
    moments = random.Random(7)
    kills = rounds = 0
    finished: set[str] = set()
    forget(work)
    while kills < KILLS:
        kills += killed_at(work, moments.uniform(0.0, took))
        now = {step for step, status in statuses(work, "--dry-run").items() if status == "cached"}
        assert finished <= now, "a finished step was lost"
        finished = now
        if len(finished) == 4:
            assert set(statuses(work).values()) == {"cached"}
            assert outputs(work) == whole
            assert leftovers(work) == []
            forget(work)
            finished = set()
            rounds += 1
    statuses(work)
    assert outputs(work) == whole
    assert rounds


def forget(work):
    """Remove the cache and the outputs, to begin from nothing."""
    for name in ("cache", "out"):
        shutil.rmtree(work / name, ignore_errors=True)
