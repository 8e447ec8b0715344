"""Which preprocessing a model answers to best: planted detectors that know the answer."""

from __future__ import annotations

import cv2
import models
import numpy as np
import onnx
import pytest
import scenes
import yaml

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.inspect import InspectConfig
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, UnrecognisedError
from edgecv_cli.detector.spec import InputSpec
from edgecv_cli.measure.mirror import found_again, mirrored
from edgecv_cli.measure.preprocessing_choices import alike, choices, scale_words
from edgecv_cli.stages.inspect import inspect

SIZE = (96, 128)
IMAGES = 6


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "data"
    return scenes.write_dataset(folder, images=IMAGES, size=SIZE, nc=2, seed=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """It knows red and green: what is red seen in the wrong order, it does not know."""
    path = tmp_path_factory.mktemp("model") / "yolox.onnx"
    onnx.save(models.yolox(nc=2, size=SIZE, planted=True), path)
    return path


def probed(model, images, tmp_path, told="", **changes):
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"score_threshold: 0.3\n{told}")
    config = InspectConfig(model=model, probe=images, spec=spec, threads=1, **changes)
    return inspect(config, Context()).probe


@pytest.mark.parametrize("labels", [True, False], ids=["labelled", "bare"])
@pytest.mark.parametrize(
    "told",
    ["", "input: {color: rgb, scale: 255.0}\n", "input: {color: rgb, resize: stretch}\n"],
    ids=["right", "wrong", "wrong colour"],
)
def test_the_planted_preprocessing_is_found(told, labels, model, labelled, tmp_path):
    probe = probed(model, labelled if labels else labelled / "images", tmp_path, told)

    assert probe.criterion == ("map" if labels else "mirror")
    assert probe.images == IMAGES
    assert (probe.best.color, probe.best.scale) == ("bgr", 1.0)
    assert probe.assumed_agrees == (not told)
    assert not {"color", "scale"} & set(probe.undecided)
    # the images have the input's shape: no resize differs from another
    assert set(probe.undecided["resize"]) <= {"letterbox", "letterbox-topleft", "stretch"}
    assert len(probe.undecided["resize"]) == 2
    assert probe.settings[0] == probe.best
    assert all(setting.behind is not None for setting in probe.settings[1:])
    scores = [setting.score for setting in probe.settings[1:]]
    assert scores == sorted(scores, reverse=True)
    assert probe.margin == pytest.approx(probe.best.score - scores[0])
    assert yaml.safe_load(probe.spec_lines)["input"]["color"] == "bgr"


@pytest.mark.parametrize("seed", range(3))
def test_an_order_that_only_swaps_two_classes_needs_labels(seed, tmp_path):
    """Its scores differ by float32 rounding alone, on every image alike: that is no lead."""
    data = scenes.write_dataset(tmp_path / "data", images=IMAGES, size=SIZE, seed=seed)
    path = tmp_path / "three.onnx"
    onnx.save(models.yolox(size=SIZE, planted=True), path)

    assert probed(path, data / "images", tmp_path).undecided["color"] == ("rgb",)
    assert "color" not in probed(path, data, tmp_path).undecided


def test_its_lines_are_a_spec_that_agrees(model, labelled, tmp_path):
    wrong = probed(model, labelled / "images", tmp_path, "input: {color: rgb, scale: 255.0}\n")

    right = probed(model, labelled / "images", tmp_path, wrong.spec_lines)

    assert right.assumed_agrees
    assert right.best.score == pytest.approx(wrong.best.score)


def test_images_that_show_nothing_tell_nothing(model, tmp_path):
    folder = tmp_path / "grey"
    folder.mkdir()
    for number in range(2):
        assert cv2.imwrite(str(folder / f"{number}.png"), np.full((*SIZE, 3), 90, np.uint8))

    probe = probed(model, folder, tmp_path)

    assert probe.assumed_agrees is None
    assert probe.margin is None
    assert probe.best.color == "bgr"
    assert any("finds nothing under any setting" in note for note in probe.notes)
    assert any("2 images are few" in note for note in probe.notes)


def test_of_bytes_only_the_rest_is_tried(labelled, tmp_path):
    path = tmp_path / "bytes.onnx"
    onnx.save(models.fed_with(models.yolox(nc=2, size=SIZE, planted=True), "uint8", "nhwc"), path)

    probe = probed(path, labelled, tmp_path, "input: {color: rgb}\n", probe_images=4)

    assert {setting.values for setting in probe.settings} == {"0..255"}
    assert probe.images == 4
    assert probe.best.color == "bgr"
    assert any("inside the graph" in note for note in probe.notes)


def test_no_probe_is_made_unless_asked_for(model, labelled):
    assert inspect(InspectConfig(model=model), Context()).probe is None
    result = inspect(InspectConfig(model=model, probe=labelled, probe_images=1), Context())
    assert result.machine is not None
    said = result.to_json()["probe"]
    assert {"criterion", "images", "settings", "best", "assumed_agrees"} <= set(said)
    # the spec is the one that was assumed, whatever came out
    assert result.detector.color == "bgr"


def test_what_can_not_be_probed_is_refused(model, labelled, tmp_path):
    onnx.save(models.classifier(), tmp_path / "classifier.onnx")
    empty = tmp_path / "empty"
    empty.mkdir()

    with pytest.raises(UnrecognisedError):
        inspect(InspectConfig(model=tmp_path / "classifier.onnx", probe=labelled), Context())
    for folder in (empty, tmp_path / "nowhere"):
        with pytest.raises(DataError):
            inspect(InspectConfig(model=model, probe=folder), Context())


def test_labels_of_other_things_are_not_used(labelled, tmp_path):
    path = tmp_path / "many.onnx"
    onnx.save(models.yolox(nc=5, size=SIZE, planted=True), path)

    probe = probed(path, labelled, tmp_path, probe_images=2)

    assert probe.criterion == "mirror"
    assert Artifact.open(path).detector().spec.input.color == probe.best.color


def boxes(*rows):
    table = np.asarray(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


class TestMirror:
    def test_the_same_things_mirrored_are_found_again(self):
        plain = boxes((10, 20, 30, 40, 0.8, 1), (50, 0, 90, 30, 0.6, 0))
        mirror = boxes((10, 0, 50, 30, 0.6, 0), (70, 20, 90, 40, 0.8, 1))

        assert found_again(plain, mirror, 100) == pytest.approx(1.4**0.5)

    @pytest.mark.parametrize(
        "other", [(10, 20, 30, 40, 0.8, 1), (70, 20, 90, 40, 0.8, 0), (70, 60, 90, 80, 0.8, 1)]
    )
    def test_other_places_and_classes_are_not_the_same(self, other):
        assert found_again(boxes((10, 20, 30, 40, 0.8, 1)), boxes(other), 100) == 0

    def test_one_thing_is_found_again_once(self):
        twice = boxes((10, 20, 30, 40, 0.8, 1), (10, 20, 30, 40, 0.8, 1))

        assert found_again(twice, boxes((70, 20, 90, 40, 0.8, 1)), 100) == pytest.approx(
            2 * 0.8 / 2.4 * 0.8**0.5
        )

    def test_nothing_scores_nothing(self):
        one = boxes((10, 20, 30, 40, 0.8, 1))
        assert found_again(boxes(), boxes(), 100) == 0
        assert found_again(one, boxes(), 100) == found_again(boxes(), one, 100) == 0

    def test_a_picture_is_mirrored_left_to_right(self):
        picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
        assert (mirrored(picture)[:, 0] == picture[:, 3]).all()
        assert mirrored(picture).flags["C_CONTIGUOUS"]


class TestChoices:
    def test_values_nearly_the_same_are_tried_once(self):
        halves = InputSpec(scale=1.0, mean=(128.0,) * 3, std=(128.0,) * 3)
        names = [choice.name for choice in choices(halves, "scale")]

        assert "0..255" in names
        assert "0..1" in names
        assert "-1..1" not in names
        assert len(set(names)) == len(names)

    def test_means_turn_with_their_colours(self):
        rgb = InputSpec(scale=255.0, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
        (choice,) = choices(rgb, "color")

        assert choice.input.color == "bgr"
        assert choice.input.mean == (0.3, 0.2, 0.1)
        assert choice.input.std == (0.6, 0.5, 0.4)

    def test_everything_else_stays(self):
        spec = InputSpec(resize="stretch", pad=7, scale=255.0)
        for key in ("scale", "color", "resize"):
            for choice in choices(spec, key):
                assert not alike(choice.input, spec)
                assert choice.input.pad == 7
                assert choice.input.size == spec.size
                assert (choice.input.resize == "stretch") == (key != "resize")

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({}, "0..255"),
            ({"scale": 255.0}, "0..1"),
            ({"scale": 127.5, "mean": (1.0, 1.0, 1.0)}, "-1..1"),
            ({"mean": (1.0, 2.0, 3.0)}, "/ 1, - 1,2,3, / 1,1,1"),
        ],
    )
    def test_they_are_called_by_their_values(self, changes, words):
        assert scale_words(InputSpec(**changes)) == words
