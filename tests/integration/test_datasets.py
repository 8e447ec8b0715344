"""One set of labelled pictures in three layouts gives one set of figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from clips import write_picture
from layout_sets import as_voc, as_yolo
from models import yolov8
from scenes import CLASS_NAMES, write_dataset

from edgecv_cli.config.evaluate import EvaluateConfig
from edgecv_cli.core.context import SILENT, Context
from edgecv_cli.core.errors import DataError
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.media.images import open_images
from edgecv_cli.stages.evaluate import evaluate


class Notes(type(SILENT)):
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    coco = write_dataset(folder / "coco", images=6, seed=6)  # one touches the border
    return {
        "coco": coco,
        "yolo": as_yolo(coco, folder / "yolo"),
        "unnamed": as_yolo(coco, folder / "unnamed", names=False),
        "voc": as_voc(coco, folder / "voc"),
        "voc from 0": as_voc(coco, folder / "voc0", first_pixel=0),
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    onnx.save(yolov8(planted=True), path)
    return path


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    path = tmp_path_factory.mktemp("spec") / "spec.yaml"
    path.write_text(f"classes: [{', '.join(CLASS_NAMES)}]")
    return path


def test_every_layout_gives_the_same_figures(sets, model, spec):
    figures = {}
    for name, data in sets.items():
        notes = Notes()
        config = EvaluateConfig(model=model, data=data, spec=spec, threads=1)
        result = evaluate(config, Context(progress=notes))
        figures[name] = (result.map, result.map50, result.map75, result.interval)
        read_as = [note for note in notes.said if "is read as" in note]
        assert len(read_as) == (name != "coco")

    assert figures["coco"][0] > 0.3
    assert set(figures.values()) == {figures["coco"]}


def test_names_alone_are_not_matched_by_count(sets, model):
    """Pascal VOC numbers no classes, so that their order says nothing."""
    with pytest.raises(DataError, match=r"class_0, class_1, class_2.*blue, green, red"):
        evaluate(EvaluateConfig(model=model, data=sets["voc"], threads=1), Context())


def test_straight_paths_are_read_as_their_folders(sets):
    for folder, inside in [
        ("coco", "instances.json"),
        ("yolo", "data.yaml"),
        ("yolo", "images"),
        ("yolo", "labels"),
        ("yolo", "images/val"),
        ("voc", "Annotations"),
    ]:
        assert open_dataset(sets[folder] / inside).digest == open_dataset(sets[folder]).digest


def test_boxes_of_any_place_and_size_are_the_same_in_every_layout(tmp_path):
    rng = np.random.default_rng(5)
    coco = tmp_path / "coco"
    for name in ("a.png", "b.png"):
        write_picture(coco / "images" / name, np.zeros((371, 523, 3), np.uint8))
    images = [
        {"id": 1 + at, "file_name": name, "width": 523, "height": 371}
        for at, name in enumerate(["a.png", "b.png"])
    ]
    corners = np.sort(rng.uniform(0, 1, (50, 2, 2)), axis=1) * [523, 371]
    annotations = [
        {
            "id": 1 + at,
            "image_id": 1 + at % 2,
            "category_id": 1 + at % 3,
            "bbox": [*low.round(2).tolist(), *(high - low).round(2).tolist()],
        }
        for at, (low, high) in enumerate(corners)
    ]
    categories = [{"id": 1 + at, "name": name} for at, name in enumerate("abc")]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (coco / "instances.json").write_text(json.dumps(content))

    expected = open_dataset(coco)
    for other in (as_yolo(coco, tmp_path / "yolo"), as_voc(coco, tmp_path / "voc", first_pixel=0)):
        dataset = open_dataset(other)
        assert list(dataset.categories.values()) == ["a", "b", "c"]
        for item, same in zip(dataset.items, expected.items, strict=True):
            np.testing.assert_allclose(item.boxes, same.boxes, atol=2e-3)
            first = min(dataset.categories)
            assert (item.category_ids - first).tolist() == (same.category_ids - 1).tolist()


def test_calibration_takes_the_images_of_any_layout(sets):
    names = [path.name for path in open_images(sets["coco"]).paths]
    assert len(names) == 6
    for name, inside in [
        ("coco", "instances.json"),
        ("yolo", ""),
        ("yolo", "data.yaml"),
        ("yolo", "images/val"),
        ("voc", ""),
        ("voc", "JPEGImages"),
    ]:
        assert [path.name for path in open_images(sets[name] / inside).paths] == names


def test_calibration_prefers_the_images_to_train_on(tmp_path):
    for split in ("val", "train"):
        write_picture(tmp_path / "images" / split / f"{split}.png")
    folder = open_images(tmp_path)
    assert [path.name for path in folder.paths] == ["train.png"]
    assert "split train" in folder.notes[0]


def test_two_layouts_in_one_folder_are_both_said(sets, tmp_path):
    as_yolo(sets["coco"], tmp_path / "set")
    content = json.loads((sets["coco"] / "instances.json").read_text())
    for image in content["images"]:
        image["file_name"] = f"val/{image['file_name']}"
    (tmp_path / "set" / "instances.json").write_text(json.dumps(content))

    dataset = open_dataset(tmp_path / "set")
    assert dataset.layout == "COCO"
    assert "YOLO txt as well" in dataset.notes[0]
    (direct,) = (word for word in dataset.notes[0].split("(")[1:])
    assert open_dataset(Path(direct.rstrip(")"))).layout == "YOLO txt"


@pytest.mark.real
def test_real_photographs_in_other_layouts(tmp_path):
    shared = Path(__file__).parents[3] / "shared" / "data" / "validation"
    if not shared.is_dir():
        pytest.skip("no ../shared")
    coco = open_dataset(shared)
    for other in (
        as_yolo(shared, tmp_path / "yolo"),
        as_voc(shared, tmp_path / "voc", first_pixel=0),
    ):
        for item, same in zip(open_dataset(other).items, coco.items, strict=True):
            np.testing.assert_allclose(item.boxes, same.boxes, atol=2e-3)


def test_a_bare_folder_is_told_what_is_read(sets):
    with pytest.raises(DataError, match="images but no labels") as caught:
        open_dataset(sets["coco"] / "images")
    for layout in ("COCO", "YOLO txt", "Pascal VOC"):
        assert layout in caught.value.remedy
