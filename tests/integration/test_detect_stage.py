"""The whole of detect: sources in, one published folder and a summary out."""

from __future__ import annotations

import errno
import itertools
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from clips import write_picture, write_video
from fakes import CLASSES, FakePredictor, found, loaded
from models import yolov8
from numpy.typing import NDArray
from scenes import scene

from edgecv_cli.config.detect import DetectConfig
from edgecv_cli.core.boxes import iou_matrix
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    DataError,
    EngineError,
    InterruptedByUser,
    OutputError,
    OutputExistsError,
    UsageError,
)
from edgecv_cli.stages.detect import run_detect
from edgecv_cli.stages.detect_classes import choose_classes
from edgecv_cli.stages.detect_result import DetectSummary

Lines = list[dict[str, Any]]


def run(
    sources: list[Path], predictor: FakePredictor | None = None, *,
    emit: Callable[[dict[str, Any]], None] | None = None, context: Context | None = None,
    **options: Any,
) -> DetectSummary:  # fmt: skip
    config = DetectConfig.from_options(
        model=Path("m.onnx"), sources=[str(source) for source in sources], **options
    )
    return run_detect(config, context or Context(), emit=emit, load=lambda _: loaded(predictor))


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def workers() -> int:
    return sum(thread.name.startswith("edgecv-") for thread in threading.enumerate())


def test_a_planted_detector_finds_what_is_in_the_pictures(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    onnx.save(yolov8(planted=True, ultralytics=True), model)
    truths = {}
    for seed in range(3):
        image, boxes, ids = scene(seed=seed)
        path = write_picture(tmp_path / "in" / f"{seed}.png", image)
        truths[str(path)] = (boxes, ids)
    lines: Lines = []
    summary = run_detect(
        DetectConfig(model=model, sources=(str(tmp_path / "in"),)), Context(), emit=lines.append
    )
    *frames, last = lines
    assert last == {"summary": summary.to_json()}
    assert [frame["source"] for frame in frames] == list(truths)
    for frame in frames:
        boxes, ids = truths[frame["source"]]
        assert sorted(hit["class_id"] for hit in frame["detections"]) == sorted(ids.tolist())
        hits = np.array([hit["box"] for hit in frame["detections"]], np.float32)
        assert iou_matrix(boxes, hits).max(axis=1).min() > 0.7
    assert summary.frames == 3
    assert summary.engine == "onnxruntime"
    assert summary.sha256 is not None


def test_everything_is_saved_into_one_folder(tmp_path: Path) -> None:
    write_picture(tmp_path / "in" / "a.png")
    write_video(tmp_path / "in" / "clip.mp4", frames=2)
    run([tmp_path / "in"], output=tmp_path / "out", save=["image,video,json,coco,csv,yolo"])
    assert tree(tmp_path / "out") == [
        "a.png", "clip.mp4", "clip_000000.jpg", "clip_000001.jpg", "coco.json",
        "coco_images.json", "detections.csv", "detections.jsonl", "labels/a.txt",
        "labels/clip_000000.txt", "labels/clip_000001.txt",
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (("a.png",), ["a.png", "detections.jsonl"]),
        (("clip.mp4",), ["clip.mp4", "detections.jsonl"]),
        (("a.png", "clip.mp4"), None),
    ],
)
def test_what_is_saved_unless_asked(
    tmp_path: Path, sources: tuple[str, ...], expected: list[str] | None
) -> None:
    write_picture(tmp_path / "a.png")
    write_video(tmp_path / "clip.mp4", frames=2)
    run([tmp_path / name for name in sources], output=tmp_path / "out")
    saved = tree(tmp_path / "out")
    if expected is None:
        assert {"a.png", "clip.mp4", "detections.jsonl"} <= set(saved)
    else:
        assert saved == expected


def test_summary_states_how_it_was_made(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    ticks = itertools.count(0, 500_000_000)
    predictor = FakePredictor()
    summary = run([tmp_path / "a.png"], predictor, context=Context(clock=lambda: next(ticks)))
    said = summary.to_json()
    assert said["schema"] == "edgecv.detect/1"
    assert said["seconds"] > 0
    assert said["fps"] == pytest.approx(1 / said["seconds"])
    assert (said["preprocess_p50_ms"], said["infer_p50_ms"], said["postprocess_p50_ms"]) == (
        1,
        4,
        2,
    )
    assert (said["frames"], said["detections"], said["skipped"]) == (1, 2, [])
    assert said["provider"] == "FakeProvider"
    assert {"machine", "threads", "score_threshold", "nms_iou"} <= set(said)
    assert said["limit"]["stage"] in {"read", "infer", "write"}
    assert (said["in_flight"], said["dropped"]) == (1, 0)
    assert {"read_p50_ms", "write_p50_ms"} <= set(said)
    assert "output" not in said
    assert predictor.closed


def test_broken_among_good_is_skipped_counted_and_named(tmp_path: Path) -> None:
    write_picture(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    write_picture(tmp_path / "in" / "c.png")
    summary = run([tmp_path / "in"], output=tmp_path / "out")
    assert summary.frames == 2
    assert [entry.source for entry in summary.skipped] == [str(tmp_path / "in" / "b.png")]
    assert "can't be decoded" in summary.skipped[0].problem
    last = json.loads((tmp_path / "out" / "detections.jsonl").read_text().splitlines()[-1])
    assert last["summary"]["skipped"][0]["source"].endswith("b.png")


def test_only_broken_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="can't be decoded"):
        run([tmp_path / "a.png"], output=tmp_path / "out")
    assert tree(tmp_path) == ["a.png"]


def test_classes_and_limit(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", frames=6)
    lines: Lines = []
    summary = run([tmp_path / "clip.mp4"], classes=["BOLT"], limit=4, emit=lines.append)
    assert (summary.frames, summary.detections) == (4, 4)
    kinds = {hit["class_name"] for line in lines[:-1] for hit in line["detections"]}
    assert kinds == {"bolt"}
    assert summary.skipped == ()


def test_boxes_that_are_no_numbers_go(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    lines: Lines = []
    nan = float("nan")
    boxes = found((nan, 0, 1, 1, 0.9, 0), (0, 0, 5, 5, 0.8, 1), (0, 0, 5, 5, nan, 1))
    run([tmp_path / "a.png"], FakePredictor([boxes]), emit=lines.append)
    assert [hit["score"] for hit in lines[0]["detections"]] == [0.8]


def test_frame_without_detections_is_still_a_line(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    lines: Lines = []
    run([tmp_path / "a.png"], FakePredictor([found()]), emit=lines.append)
    assert lines[0]["detections"] == []


def interrupting(context: Context) -> Callable[[Mapping[str, Any]], None]:
    def emit(line: Mapping[str, Any]) -> None:
        context.cancel.set()

    return emit


def test_interrupted_leaves_nothing(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", frames=30)
    context = Context()
    predictor = FakePredictor()
    with pytest.raises(InterruptedByUser):
        run(
            [tmp_path / "clip.mp4"], predictor, emit=interrupting(context), context=context,
            output=tmp_path / "out",
        )  # fmt: skip
    assert len(predictor.shapes) <= 4  # one seen, one in the lane, two behind it
    assert tree(tmp_path) == ["clip.mp4"]
    assert workers() == 0
    assert predictor.closed


def test_interrupted_at_the_last_frame_leaves_nothing(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    context = Context()
    with pytest.raises(InterruptedByUser):
        run(
            [tmp_path / "a.png"], emit=interrupting(context), context=context,
            output=tmp_path / "out",
        )  # fmt: skip
    assert tree(tmp_path) == ["a.png"]


def test_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    def full(line: Mapping[str, Any]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_video(tmp_path / "clip.mp4", frames=12)
    with pytest.raises(OutputError, match="No space left"):
        run([tmp_path / "clip.mp4"], emit=full, output=tmp_path / "out")
    assert tree(tmp_path) == ["clip.mp4"]
    assert workers() == 0


def test_lanes_side_by_side_keep_the_order(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", frames=12)
    second = threading.Event()

    class Waiting(FakePredictor):
        """Holds its first frame until the other lane has had some."""

        def predict_timed(self, image: Any) -> Any:
            second.wait(10)
            return super().predict_timed(image)

    class Ahead(FakePredictor):
        def predict_timed(self, image: Any) -> Any:
            if len(self.shapes) == 2:  # as far as it gets before the first result is used
                second.set()
            return super().predict_timed(image)

    lanes = [Waiting(), Ahead()]
    lines: Lines = []
    config = DetectConfig.from_options(model=Path("m.onnx"), sources=[str(tmp_path / "clip.mp4")])
    model = replace(loaded(lanes[0]), lanes=lanes)
    summary = run_detect(config, Context(), emit=lines.append, load=lambda _: model)
    assert [line["frame"] for line in lines[:-1]] == list(range(12))
    assert summary.in_flight == 2
    assert sum(len(lane.shapes) for lane in lanes) == 12
    assert workers() == 0


class FailingPredictor(FakePredictor):
    """Fails at its fourth frame."""

    def predict_timed(self, image: Any) -> Any:
        if len(self.shapes) == 3:
            raise EngineError("the engine gave up", remedy="try another")
        return super().predict_timed(image)


def test_an_engine_that_fails_midway_is_said_after_what_came_before(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", frames=12)
    predictor, lines = FailingPredictor(), []
    with pytest.raises(EngineError, match="gave up"):
        run([tmp_path / "clip.mp4"], predictor, emit=lines.append, output=tmp_path / "out")
    assert [line["frame"] for line in lines] == [0, 1, 2]
    assert tree(tmp_path) == ["clip.mp4"]
    assert workers() == 0
    assert predictor.closed


def test_existing_output_is_refused_before_the_model_is_opened(tmp_path: Path) -> None:
    write_picture(tmp_path / "in" / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    predictor = FakePredictor()
    with pytest.raises(OutputExistsError, match="exists"):
        run([tmp_path / "in"], predictor, output=tmp_path / "out")
    run([tmp_path / "in"], predictor, output=tmp_path / "out", force=True)
    assert tree(tmp_path / "out") == ["a.png", "detections.jsonl", "mine.txt"]


def test_output_that_holds_the_sources_is_refused(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "in" / "a.png")
    before = path.read_bytes()
    with pytest.raises(OutputExistsError, match="contains the input"):
        run([tmp_path / "in"], output=tmp_path / "in", force=True)
    assert path.read_bytes() == before


def test_video_of_pictures_is_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    with pytest.raises(UsageError, match="none of the sources is a video"):
        run([tmp_path / "a.png"], output=tmp_path / "out", save=["video"])


def test_classes_by_name_or_index() -> None:
    assert choose_classes((), CLASSES) is None
    assert choose_classes(("Hex Nut", "0"), CLASSES) == {0, 2}
    assert choose_classes(("1",), ("1", "0")) == {0}  # a name wins over an index


@pytest.mark.parametrize(
    ("wanted", "remedy"),
    [("bolts", "did you mean bolt?"), ("9", "from 0 to 2"), ("zebra", "gear, bolt, hex nut")],
)
def test_unknown_class_offers_the_nearest(wanted: str, remedy: str) -> None:
    with pytest.raises(UsageError, match=f"no class {wanted!r}") as caught:
        choose_classes((wanted,), CLASSES)
    assert remedy in caught.value.remedy
    assert not caught.value.remedy.endswith("...")


def mosaic() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Nine scenes as one picture [192, 192, 3], which shrinks to a third for the network."""
    rows, boxes = [], []
    for row in range(3):
        scenes = [scene(seed=3 * row + column) for column in range(3)]
        rows.append(np.concatenate([image for image, _, _ in scenes], axis=1))
        boxes += [
            its + np.array([64 * column, 64 * row] * 2, np.float32)
            for column, (_, its, _) in enumerate(scenes)
        ]
    return np.concatenate(rows), np.concatenate(boxes)


def test_small_things_are_found_in_tiles(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    onnx.save(yolov8(planted=True, ultralytics=True), model)
    picture, boxes = mosaic()
    source = write_picture(tmp_path / "many.png", picture)

    def detected(**options: Any) -> tuple[NDArray[np.float32], DetectSummary]:
        lines: Lines = []
        config = DetectConfig.from_options(model=model, sources=[str(source)], **options)
        summary = run_detect(config, Context(), emit=lines.append)
        hits = [hit["box"] for hit in lines[0]["detections"]]
        return iou_matrix(boxes, np.array(hits, np.float32).reshape(-1, 4)).max(axis=1), summary

    whole, plain = detected()
    parts, tiled = detected(tile="64")

    assert (whole > 0.5).mean() < 0.5
    assert (parts > 0.5).all()
    assert (plain.tile, tiled.tile) == (None, (64, 64))


@pytest.mark.parametrize("tile", ["63", "640x10"])
def test_tiles_too_small_to_see_anything_are_refused(tile: str) -> None:
    with pytest.raises(UsageError, match="nothing is to be seen"):
        DetectConfig.from_options(model=Path("m.onnx"), sources=["a.jpg"], tile=tile)


def test_tracks_and_lines_of_a_video(tmp_path: Path) -> None:
    video = write_video(tmp_path / "drive.mp4", frames=8)
    answers = [found((4 + 5 * at, 8, 14 + 5 * at, 28, 0.9, 1), (50, 40, 60, 47, 0.2, 0))
               for at in range(8)]  # fmt: skip
    lines: Lines = []

    summary = run(
        [video], FakePredictor(answers), emit=lines.append,
        track=True, line=["30,48,30,0"], output=tmp_path / "out", save="video,csv",
    )  # fmt: skip

    assert [[hit.get("track_id") for hit in line["detections"]] for line in lines[:-1]] == [[1]] * 8
    assert summary.tracks == 1
    assert summary.lines is not None
    assert [(one.forward, one.back) for one in summary.lines] == [({"bolt": 1}, {})]
    assert lines[-1]["summary"]["lines"][0]["line"] == [30, 48, 30, 0]
    header, *rows = (tmp_path / "out/detections.csv").read_text().splitlines()
    assert header.endswith(",track_id")
    assert [row.rsplit(",", 1)[1] for row in rows] == ["1"] * 8


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"line": ["1,2,3,4"]}, "--track"),
        ({"track": True, "line": ["1,2,1,2"]}, "pixels"),
        ({"track": True}, "a video"),
    ],
)
def test_what_can_not_be_tracked_is_refused(
    tmp_path: Path, options: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(UsageError) as caught:
        run([write_picture(tmp_path / "a.png")], **options)

    assert remedy in caught.value.remedy
