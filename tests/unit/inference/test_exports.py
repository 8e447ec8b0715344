"""Files for machines: JSON lines, COCO results, CSV, YOLO text."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from clips import picture
from fakes import CLASSES, found

from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.errors import OutputError
from edgecv_cli.inference.exports import (
    CocoSink,
    CsvSink,
    JsonFileSink,
    JsonLinesSink,
    YoloSink,
    frame_record,
)
from edgecv_cli.inference.frames import Frame, FrameResult, FrameSink
from edgecv_cli.media.video import VideoInfo

TWO = found((2, 4, 22, 24, 0.9, 1), (0, 0, 9.25, 9, 0.512345, 7))


def still(source: str, boxes: Detections = TWO) -> FrameResult:
    return FrameResult(Frame(source, 0, picture(30, 40)), boxes, CLASSES)


def moving(source: str, index: int) -> FrameResult:
    frame = Frame(source, index, picture(30, 40), 0.1, VideoInfo(25.0, 9))
    return FrameResult(frame, TWO, CLASSES)


def through(sink: FrameSink, *results: FrameResult) -> None:
    for result in results:
        sink.write(result)
    sink.finish({"frames": len(results)})
    sink.close()


def test_record_has_the_contract_keys() -> None:
    assert frame_record(still("a.png")) == {
        "source": "a.png",
        "frame": 0,
        "detections": [
            {"box": [2, 4, 22, 24], "score": 0.9, "class_id": 1, "class_name": "bolt"},
            {"box": [0, 0, 9.25, 9], "score": 0.51235, "class_id": 7, "class_name": "class 7"},
        ],
    }


def test_summary_is_the_last_line(tmp_path: Path) -> None:
    lines: list[dict[str, object]] = []
    through(JsonLinesSink(lines.append), still("a.png"), moving("b.mp4", 3))
    through(JsonFileSink(tmp_path), still("a.png"), moving("b.mp4", 3))
    text = (tmp_path / "detections.jsonl").read_text()
    assert [json.loads(line) for line in text.splitlines()] == lines
    assert [line.get("frame") for line in lines] == [0, 3, None]
    assert lines[-1] == {"summary": {"frames": 2}}


def test_names_that_are_no_text(tmp_path: Path) -> None:
    odd = b"a\xff.png".decode("utf-8", "surrogateescape")
    for sink in (JsonFileSink(tmp_path), CsvSink(tmp_path), CocoSink(tmp_path)):
        through(sink, still(odd))
    line = (tmp_path / "detections.jsonl").read_text().splitlines()[0]
    assert json.loads(line)["source"] == odd
    assert b"a\xff.png" in (tmp_path / "detections.csv").read_bytes()


def test_coco_ids_are_numeric_names(tmp_path: Path) -> None:
    through(CocoSink(tmp_path), still("000000000139.jpg"), still("x/42.jpg", Detections.empty()))
    results = json.loads((tmp_path / "coco.json").read_text())
    assert results[0] == {
        "image_id": 139, "category_id": 1, "bbox": [2, 4, 20, 20], "score": 0.9,
    }  # fmt: skip
    images = json.loads((tmp_path / "coco_images.json").read_text())
    assert images[1] == {"id": 42, "file_name": "42.jpg", "source": "x/42.jpg", "frame": 0}


@pytest.mark.parametrize("sources", [("7.jpg", "b.jpg"), ("7.jpg", "x/7.jpg"), ("²7.jpg", "8.jpg")])
def test_coco_ids_else_count_frames(tmp_path: Path, sources: tuple[str, str]) -> None:
    through(CocoSink(tmp_path), *map(still, sources))
    results = json.loads((tmp_path / "coco.json").read_text())
    assert [row["image_id"] for row in results] == [1, 1, 2, 2]


def test_coco_ids_of_videos_count_frames(tmp_path: Path) -> None:
    through(CocoSink(tmp_path), moving("7.mp4", 0), moving("7.mp4", 1))
    images = json.loads((tmp_path / "coco_images.json").read_text())
    assert [(row["id"], row["frame"]) for row in images] == [(1, 0), (2, 1)]


def test_coco_categories_by_the_mapping(tmp_path: Path) -> None:
    through(CocoSink(tmp_path, {1: 77}), still("a.jpg"))
    results = json.loads((tmp_path / "coco.json").read_text())
    assert [row["category_id"] for row in results] == [77]


def test_csv_quotes_what_needs_it(tmp_path: Path) -> None:
    through(CsvSink(tmp_path), still('a, "b".png'), still("c.png", Detections.empty()))
    with (tmp_path / "detections.csv").open(newline="") as file:
        header, first, second = csv.reader(file)
    assert tuple(header) == CsvSink.HEADER
    assert first == ['a, "b".png', "0", "1", "bolt", "0.9", "2.0", "4.0", "22.0", "24.0"]
    assert second[3] == "class 7"


def test_yolo_lines_turn_back_into_the_boxes(tmp_path: Path) -> None:
    through(
        YoloSink(tmp_path), still("a.png"), still("b.png", Detections.empty()), moving("c.mp4", 5)
    )
    files = {path.name: path.read_text() for path in (tmp_path / "labels").iterdir()}
    assert set(files) == {"a.txt", "b.txt", "c_000005.txt"}
    assert files["b.txt"] == ""
    rows = np.array([line.split() for line in files["a.txt"].splitlines()], float)
    assert rows[:, 0].tolist() == [1, 7]
    centre, size = rows[:, 1:3] * (40, 30), rows[:, 3:5] * (40, 30)
    assert np.hstack([centre - size / 2, centre + size / 2]) == pytest.approx(TWO.boxes, abs=1e-4)
    assert rows[:, 5] == pytest.approx(TWO.scores, abs=1e-6)


def test_an_unwritable_folder_is_an_output_error(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    for sink in (JsonFileSink, CsvSink, YoloSink):
        with pytest.raises(OutputError, match="can't be written"):
            sink(gone)
    with pytest.raises(OutputError, match="can't be written"):
        through(CocoSink(gone), still("a.png"))
