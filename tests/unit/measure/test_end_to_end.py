"""Times of whole pictures: how they are summed up, and the service that takes them."""

from __future__ import annotations

from pathlib import Path

import cv2
import models
import numpy as np
import onnx
import pytest
from scenes import write_dataset
from side_services import SideWorld

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ChildFailureError, DataError, EngineError
from edgecv_cli.measure.end_to_end import draw_pictures, measure_end_to_end
from edgecv_cli.measure.end_to_end_service import EndToEndService
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.side_child import row_request

MS = 1_000_000
STAGES = ("decode", "preprocess", "infer", "postprocess", "total")


def measured(world, *names, images=3, seconds=2.0):
    return measure_end_to_end(
        [BenchRow(Path(f"{name}.onnx")) for name in names],
        [Path(f"{number}.jpg") for number in range(images)],
        source="three pictures",
        seconds=seconds,
        context=Context(),
        start=world.start,
    )


def pictures(*each):
    """A service whose every picture takes one of these, in turn: milliseconds a stage, boxes."""

    def turn(name, payload):
        taken = [each[number % len(each)] for number in range(payload["pictures"])]
        return {
            "ns": [[ms * MS for ms in stages] for stages, _ in taken],
            "detections": [boxes for _, boxes in taken],
        }

    return turn


def test_stages_and_their_sum_have_percentiles_over_pictures():
    world = SideWorld(pictures(((8, 2, 9, 1), 4), ((10, 2, 27, 1), 6)), a={"picture_ns": 30 * MS})

    (found,) = measured(world, "a")

    assert [getattr(found, stage).p50_ms for stage in STAGES] == [8, 2, 9, 1, 20]
    assert [getattr(found, stage).p95_ms for stage in STAGES] == [10, 2, 27, 1, 40]
    assert found.images == 3
    assert found.source == "three pictures"
    assert found.samples == 70  # 10 turns of 0.2 s
    assert found.fps == pytest.approx(1000 / (20 * 4 / 7 + 40 * 3 / 7))
    assert found.detections == 4
    assert found.interval.low <= 20 <= found.interval.high


def test_a_slow_row_has_longer_turns_and_a_fast_one_as_much_time():
    turn = pictures(((1, 1, 1, 1), 0))
    world = SideWorld(turn, slow={"picture_ns": 1000 * MS}, fast={"picture_ns": 50 * MS})

    slow, fast = measured(world, "slow", "fast", seconds=10)

    assert (slow.samples, fast.samples) == (10, 200)
    assert fast.detections == 0


def test_a_row_that_fails_says_why():
    world = SideWorld(pictures(((1, 1, 1, 1), 0)), a={"picture_ns": MS}, b={"picture_ns": MS})
    crash = ChildFailureError("it crashed", remedy="try", reason="crashed")
    world.failures["b", "open"] = crash

    a, b = measured(world, "a", "b")

    assert b is crash
    assert a.samples > 0


def test_drawn_pictures_are_jpegs_of_a_camera_s_size(tmp_path):
    first, *others = draw_pictures(tmp_path, seed=1)

    assert len(others) == 3
    assert cv2.imread(str(first)).shape == (720, 1280, 3)
    assert 0.3 < first.stat().st_size / (720 * 1280) < 1
    assert len({path.read_bytes() for path in (first, *others)}) == 4


@pytest.fixture
def opened(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(models.yolov8(planted=True), path)
    spec = Artifact.open(path).detector().spec
    images = sorted((write_dataset(tmp_path / "data", 2) / "images").iterdir())
    request = row_request(BenchRow(path, threads=1, spec=spec), 0)
    return EndToEndService(), {**request, "images": [str(image) for image in images]}


def test_the_service_times_four_stages_of_each_picture(opened):
    service, request = opened

    assert service.call("open", request)["picture_ns"] > 0
    answer = service.call("turn", {"pictures": 5})

    assert np.asarray(answer["ns"]).shape == (5, 4)
    assert np.asarray(answer["ns"]).min() > 0
    assert len(answer["detections"]) == 5
    assert len(set(answer["detections"])) <= 2  # two pictures, in turn
    assert max(answer["detections"]) > 0


def test_a_picture_that_can_not_be_read_is_an_error(opened, tmp_path):
    service, request = opened
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff")

    with pytest.raises(DataError, match=r"torn\.jpg"):
        service.call("open", {**request, "images": [str(tmp_path / "torn.jpg")]})


def test_the_service_refuses_what_it_can_not_do(opened):
    service, _ = opened
    with pytest.raises(EngineError, match="no model is open"):
        service.call("turn", {"pictures": 1})
    with pytest.raises(ValueError, match="no method 'dance'"):
        service.call("dance", {})
