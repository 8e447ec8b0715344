"""Keys: whatever a step's answer depends on changes the digest of its inputs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from scenes import write_dataset

from edgecv_cli.config.detect import DetectConfig
from edgecv_cli.config.inspect import InspectConfig
from edgecv_cli.core.errors import ConfigError
from edgecv_cli.pipeline.keys import Digests
from edgecv_cli.pipeline.stages import STAGES

STAGE = {stage.name: stage for stage in STAGES}


@pytest.fixture
def data(tmp_path):
    return write_dataset(tmp_path / "set", images=2)


def probed(data):
    config = InspectConfig(model=Path("m.onnx"), probe=data)
    return Digests().inputs(STAGE["inspect"], config)


def detected(*sources):
    config = DetectConfig(model=Path("m.onnx"), sources=tuple(map(str, sources)))
    return Digests().inputs(STAGE["detect"], config)


def test_the_labels_that_a_probe_is_judged_by_count(data):
    before = probed(data)
    labels = json.loads((data / "instances.json").read_text())
    labels["annotations"][0]["bbox"] = [0, 0, 8, 8]
    (data / "instances.json").write_text(json.dumps(labels))

    assert probed(data) != before
    assert probed(data / "images") == probed(data / "images")


def test_where_sources_stand_counts_because_results_name_them(data, tmp_path):
    before = detected(data / "images")
    shutil.copytree(data / "images", tmp_path / "copied")

    assert detected(data / "images") == before
    assert detected(tmp_path / "copied") != before


def test_a_video_may_be_larger_than_any_image(tmp_path, monkeypatch):
    monkeypatch.setattr("edgecv_cli.media.images.MAX_BYTES", 1000)
    video = tmp_path / "long.mp4"
    video.write_bytes(os.urandom(2000))

    assert detected(video) == detected(video)


def test_a_probe_holds_for_one_machine_and_a_reading_for_all(data):
    stage = STAGE["inspect"]

    assert not stage.holds_here_alone(InspectConfig(model=Path("m.onnx")))
    assert stage.holds_here_alone(InspectConfig(model=Path("m.onnx"), probe=data))


@pytest.mark.parametrize("source", ["rtsp://me:secret@cam/live?key=secret", "0"])
def test_what_is_live_has_no_key_and_shows_no_password(source):
    with pytest.raises(ConfigError, match="is live, and run keeps results") as caught:
        detected(source)
    assert "secret" not in str(caught.value)
