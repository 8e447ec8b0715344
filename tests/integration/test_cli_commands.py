"""Each command once, from files to JSON, as scripts call it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import models
import onnx
import pytest
from command_line import edgecv
from scenes import write_dataset

FAST = ["--placement", "last", "--estimator", "minmax", "--bias-correction", "off",
        "--adaptive-rounding", "off", "--equalisation", "off",
        "--speed-seconds", "0.2", "--images", "6", "--threads", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("name with space")
    onnx.save(models.yolov8(planted=True), str(folder / "model.onnx"))
    write_dataset(folder / "coco", 8)
    return folder


def answer(*args: object, code: int = 0) -> dict[str, Any]:
    """Run with ``--json`` and return the one object that standard output holds."""
    done = edgecv(*args, "--json", "--quiet")
    assert done.returncode == code, done.stderr
    assert done.stdout.count("\n") == 1
    found: dict[str, Any] = json.loads(done.stdout)
    assert {"schema", "edgecv"} <= set(found)
    return found


def test_inspect(work):
    found = answer("inspect", work / "model.onnx")
    assert found["inputs"] == [{"name": "images", "dtype": "float32", "shape": [1, 3, 64, 64]}]
    assert found["sha256"] == hashlib.sha256((work / "model.onnx").read_bytes()).hexdigest()
    assert found["detector"]["family"] == "yolov8"
    assert found["detector"]["input_size"] == [64, 64]
    assert found["provenance"] == []
    assert "machine" not in found  # nothing was measured


def test_inspect_shows_open_axes_as_null(work, tmp_path):
    model = tmp_path / "open.onnx"
    onnx.save(models.yolov8(planted=True, dynamic="size"), str(model))
    found = answer("inspect", model)
    assert None in found["inputs"][0]["shape"]
    assert "detector" not in found
    assert "--input-size" in " ".join(found["notes"])
    assert answer("inspect", model, "--input-size", "64x96")["detector"]["input_size"] == [64, 96]


def test_inspect_of_a_model_that_is_no_detector(work, tmp_path):
    model = tmp_path / "c.onnx"
    onnx.save(models.classifier(), str(model))
    found = answer("inspect", model)
    assert "detector" not in found
    assert "not read as a detector" in found["notes"][0]


def test_evaluate(work):
    found = answer("evaluate", work / "model.onnx", "--data", work / "coco", "--limit", "4")
    assert found["images"] == 4
    assert 0.5 < found["map"] <= found["map50"] <= 1
    assert found["interval"]["low"] <= found["map"] <= found["interval"]["high"]
    assert found["machine"]["cores"] >= 1


def test_benchmark(work):
    model = work / "model.onnx"
    found = answer("benchmark", model, model, "--duration", "0.2", "--threads", "1")
    assert len(found["runs"]) == 2
    assert found["runs"][0]["p50_ms"] > 0
    assert found["ratios"][0]["low"] <= found["ratios"][0]["ratio"] <= found["ratios"][0]["high"]
    assert "map" not in found["runs"][0]


def test_detect_prints_a_line_a_frame_and_the_summary_last(work, tmp_path):
    done = edgecv(
        "detect", work / "model.onnx", work / "coco" / "images", "-o", tmp_path / "found", "--json"
    )
    assert done.returncode == 0
    *frames, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(frames) == 8
    assert {"source", "frame", "detections"} <= set(frames[0])
    assert {"box", "score", "class_id", "class_name"} <= set(frames[0]["detections"][0])
    assert last["summary"]["frames"] == 8
    assert len(list((tmp_path / "found").glob("*.png"))) == 8


def test_quantize_saves_what_passes_and_its_plan_replays(work, tmp_path):
    out, again, plan = tmp_path / "o.onnx", tmp_path / "again.onnx", tmp_path / "plan.json"
    given = ["quantize", work / "model.onnx", "--calibration", work / "coco" / "images", *FAST]
    found = answer(
        *given, "-o", out, "--data", work / "coco", "--max-drop", "20%", "--min-speedup", "0",
        "--save-plan", plan,
    )  # fmt: skip
    assert found["saved"] == str(out)
    assert found["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert found["optimized"]["map"] > 0.5
    assert found["layers"]["by_precision"]["int8"] > 0
    assert answer("inspect", out)["provenance"][0]["stage"] == "quantize"
    answer(*given, "-o", again, "--plan", plan, "--min-speedup", "0", "--min-agreement", "0")
    assert again.read_bytes() == out.read_bytes()


def test_quantize_refuses_what_does_not_pass(work, tmp_path):
    out = tmp_path / "o.onnx"
    given = ["quantize", work / "model.onnx", "--calibration", work / "coco" / "images", *FAST]
    refused = answer(*given, "-o", out, "--min-speedup", "900", code=3)
    assert refused["saved"] is None
    assert refused["baseline"]["size_bytes"] > 0
    assert refused["speedup"] < 900
    assert list(tmp_path.iterdir()) == []


def test_quantize_keeps_fp32_where_int8_does_not_pay(work, tmp_path):
    out = tmp_path / "o.onnx"
    given = ["quantize", work / "model.onnx", "--calibration", work / "coco" / "images", *FAST]
    kept = answer(*given, "-o", out, "--min-speedup", "900", "--precision", "auto")
    assert (kept["saved"], kept["precision"]) == (str(out), "fp32")
    assert any("min_speedup" in note for note in kept["notes"])


def test_tables_of_every_command_are_printed(work):
    model, data = work / "model.onnx", work / "coco"
    shown = {
        ("inspect", model): "detector: yolov8",
        ("evaluate", model, "--data", data, "--limit", "2"): "mAP50-95",
        ("benchmark", model, "--duration", "0.1", "--threads", "1"): "p50 ms",
        ("detect", model, data / "images"): "best score",
    }
    for args, part in shown.items():
        done = edgecv(*args)
        assert done.returncode == 0, done.stderr
        assert part in done.stdout
