"""YOLO's layout of labels, honest and hostile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clips import with_orientation, write_picture
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.dataset import Dataset, open_dataset
from edgecv_cli.media.yolo_config import read_config
from edgecv_cli.media.yolo_rows import read_rows

ROW = "0 0.5 0.5 0.25 0.2"
BOX = [15.0, 12.0, 25.0, 18.0]  # of ROW in a picture of 40 x 30


def make(folder: Path, files: dict[str, str | None]) -> Path:
    """Write texts, and pictures where the text is None."""
    for name, text in files.items():
        if text is None:
            write_picture(folder / name)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    return folder


def plain(folder: Path, row: str = ROW, yaml: str = "names: [gear, nut]") -> Path:
    return make(folder, {"images/a.png": None, "labels/a.txt": row, "data.yaml": yaml})


def names_of(dataset: Dataset) -> list[str]:
    return [item.path.name for item in dataset.items]


def test_rows_are_boxes_in_pixels(tmp_path: Path) -> None:
    dataset = open_dataset(plain(tmp_path, f"{ROW}\n\n1 0.25 0.5 0.5 1.0\n"))
    (item,) = dataset.items
    assert dataset.layout == "YOLO txt"
    assert dataset.categories == {0: "gear", 1: "nut"}
    np.testing.assert_allclose(item.boxes, [BOX, [0, 0, 20, 30]], atol=1e-5)
    assert item.category_ids.tolist() == [0, 1]
    assert item.iscrowd.tolist() == [False, False]
    assert (item.width, item.height) == (40, 30)


def test_fractions_are_of_the_upright_picture(tmp_path: Path) -> None:
    make(tmp_path, {"images/a.jpg": None, "labels/a.txt": ROW, "classes.txt": "gear"})
    path = tmp_path / "images" / "a.jpg"
    path.write_bytes(with_orientation(path.read_bytes(), 6))
    (item,) = open_dataset(tmp_path).items
    assert (item.width, item.height) == (30, 40)
    np.testing.assert_allclose(item.boxes, [[11.25, 16, 18.75, 24]], atol=1e-5)


def test_an_outline_is_its_bounding_box_and_counted(tmp_path: Path) -> None:
    dataset = open_dataset(plain(tmp_path, "1 0.1 0.2 0.5 0.1 0.3 0.9"))
    np.testing.assert_allclose(dataset.items[0].boxes, [[4, 3, 20, 27]], atol=1e-5)
    assert "outlines taken as their bounding boxes: 1" in dataset.notes


def test_a_picture_without_labels_shows_nothing(tmp_path: Path) -> None:
    make(plain(tmp_path), {"images/b.png": None})
    dataset = open_dataset(tmp_path)
    assert dataset.items[1].boxes.shape == (0, 4)
    assert dataset.notes[-1].endswith("showing no object: 1")


SPLITS = {
    "images/train/t.png": None, "labels/train/t.txt": ROW,
    "images/val/v.png": None, "labels/val/v.txt": ROW,
}  # fmt: skip
YAMLS = [
    "train: images/train\nval: images/val",
    "path: .\nval: images/val",
    "path: ../datasets/coco8\nval: images/val",
    "val: ../images/val",
    "val: [images/val]",
    "val: ./images/val/\ntest:",
    "val: lists/val.txt\n",
    "nc: 1",
]


@pytest.mark.parametrize("yaml", YAMLS)
def test_val_is_read(tmp_path: Path, yaml: str) -> None:
    make(tmp_path, {**SPLITS, "data.yaml": f"names: {{0: gear}}\n{yaml}"})
    make(tmp_path / "lists", {"val.txt": ""})
    (tmp_path / "lists" / "val.txt").write_text("../images/val/v.png")
    if "lists" in yaml:
        (tmp_path / "val.txt").write_text("./images/val/v.png\n")
        (tmp_path / "data.yaml").write_text("names: [gear]\nval: val.txt")
    dataset = open_dataset(tmp_path)
    assert names_of(dataset) == ["v.png"]
    assert dataset.categories == {0: "gear"}
    assert "split val" in dataset.notes[0]


def test_test_then_train_where_val_is_not_named(tmp_path: Path) -> None:
    make(tmp_path, {**SPLITS, "data.yaml": "names: [gear]\ntrain: images/train"})
    assert names_of(open_dataset(tmp_path)) == ["t.png"]


def test_an_exporter_with_images_inside_each_split(tmp_path: Path) -> None:
    make(tmp_path, {
        "valid/images/a.png": None, "valid/labels/a.txt": ROW, "train/images/b.png": None,
        "data.yaml": "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['gear']",
    })  # fmt: skip
    for path in (tmp_path, tmp_path / "valid"):
        assert names_of(open_dataset(path)) == ["a.png"]
        assert open_dataset(path).categories == {0: "gear"}


def test_labels_beside_images(tmp_path: Path) -> None:
    make(tmp_path, {"a.png": None, "a.txt": ROW, "classes.txt": "gear\nnut\n"})
    assert open_dataset(tmp_path).categories == {0: "gear", 1: "nut"}


def test_labels_beside_images_in_a_folder_called_images(tmp_path: Path) -> None:
    make(tmp_path / "images" / "set", {"a.png": None, "a.txt": ROW, "._a.txt": "?"})
    dataset = open_dataset(tmp_path / "images" / "set")
    assert len(dataset.items[0].boxes) == 1


def test_classes_without_names_are_those_that_occur_in_all_labels(tmp_path: Path) -> None:
    make(tmp_path, {
        "images/a.png": None, "labels/a.txt": ROW,
        "images/b.png": None, "labels/b.txt": "2 0.5 0.5 0.1 0.1",
    })  # fmt: skip
    dataset = open_dataset(tmp_path, limit=1)
    assert len(dataset.categories) == 3
    assert names_of(dataset) == ["a.png"]
    assert "classes without names" in dataset.notes[0]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("\n0 0.5 0.5 0.2", "line 2 has 4 values"),
        ("0 0.5 0.5 0.2 0.2 0.9", "confidence belongs to detections"),
        ("0 0.5 0.5 0.2 0.2 0.9 0.1 0.2", "has 8 values"),
        ("0 .5 .5 .2 x", "not a row of numbers"),
        ("0 0.5 nan 0.2 0.2", "not finite"),
        ("0 0.5 0.5 inf 0.2", "not finite"),
        ("0 0.5 0.5 -0.2 0.2", "negative size"),
        ("0 20 15 10 6", "not a fraction"),
        ("0.5 0.5 0.5 0.2 0.2", "class 0.5, which is not an index"),
        ("-1 0.5 0.5 0.2 0.2", "class -1, which is not an index"),
        (ROW + "\n2 0.5 0.5 0.2 0.2", "line 2 has the class 2, but"),
        ("0 0.5 0.5 0.2 0.2\0", "not a row of numbers"),
    ],
)
def test_rows_that_are_refused(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        open_dataset(plain(tmp_path, row))
    assert "a.txt" in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("names: [a, b]\nnc: 3", "says nc: 3 but names 2"),
        ("names: 5", "neither a list nor a mapping"),
        ("names: {x: a}", "index 'x'"),
        ("names: [on, off]", "in quotes|gives class 0 the name True"),
        ("names: [[a]]", "gives class 0 the name"),
        ("nc: -1", "not a number of classes"),
        ("nc: 99999999999", "not a number of classes"),
        ("names: [a]\nkpt_shape: [17, 3]", "key points"),
        ("names: [a]\npath: 5", "not text"),
        ("names: [a]\nval: 5", "neither a path nor a list"),
        ("names: [a]\nval: ../../elsewhere", "not in"),
        ("names: [a]\nval: /etc", "not in"),
        ("names: [a]\npath: /\nval: etc", "not in"),
        (f"names: [a]\nval: {'a' * 5000}", "not in"),
        ("- a", "holds no NAME: VALUE"),
        ("names: [a\nval", "line"),
        ("names: &x [a]\nval: *x", "alias"),
    ],
)
def test_yamls_that_are_refused(tmp_path: Path, yaml: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        open_dataset(plain(tmp_path, yaml=yaml))
    assert "data.yaml" in caught.value.problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("images/a.png\n../../x.png", r"line 2 names '\.\./\.\./x\.png', which is not in"),
        ("/etc/passwd.png", "line 1 names '/etc/passwd.png', which is not in"),
        ("images/a.png\n./images/a.png", "line 2 .* as line 1 does"),
        ("images/gone.png\nimages/a.png", "names 1 images that are not there, .*gone.png"),
        ("\n\n", "names no images"),
    ],
)
def test_lists_that_are_refused(tmp_path: Path, text: str, words: str) -> None:
    make(plain(tmp_path), {"val.txt": text})
    with pytest.raises(DataError, match=words):
        open_dataset(tmp_path / "val.txt")


def test_labels_of_no_picture_are_counted(tmp_path: Path) -> None:
    make(plain(tmp_path), {"labels/b.txt": ROW, "labels/c.txt": ROW, "labels/classes.txt": "x"})
    with pytest.raises(DataError, match=r"2 of 3 label files have no image, .*b\.txt"):
        open_dataset(tmp_path)


def test_pictures_that_share_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="share their labels"):
        open_dataset(make(plain(tmp_path), {"images/a.jpg": None}))


def test_no_labels_at_all(tmp_path: Path) -> None:
    folder = make(tmp_path, {"images/a.png": None, "data.yaml": "names: [a]\nval: images"})
    with pytest.raises(DataError, match="none of the 1 images has labels"):
        open_dataset(folder)


def test_neither_objects_nor_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="labels no object and names no classes"):
        open_dataset(make(tmp_path, {"images/a.png": None, "labels/a.txt": ""}))


@pytest.mark.parametrize(("text", "words"), [("", "names no classes"), ("a\n\nb", "line 2")])
def test_names_files_that_are_refused(tmp_path: Path, text: str, words: str) -> None:
    folder = make(tmp_path, {"images/a.png": None, "labels/a.txt": ROW, "classes.txt": text})
    with pytest.raises(DataError, match=words):
        open_dataset(folder)


def test_labels_of_absurd_size_or_encoding(tmp_path: Path) -> None:
    labels = plain(tmp_path) / "labels" / "a.txt"
    labels.write_bytes(b"0 0 0 0 0\n\xff\xfe")
    with pytest.raises(DataError, match=r"not UTF-8 text \(line 2\)"):
        open_dataset(tmp_path)
    with labels.open("wb") as file:
        file.truncate(1024**3)  # sparse: takes no room
    with pytest.raises(DataError, match="larger than"):
        open_dataset(tmp_path)


@given(st.one_of(st.binary(max_size=80), st.text("0123456789.-e \n", max_size=80).map(str.encode)))
def test_hostile_rows_are_boxes_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.txt"
    path.write_bytes(data)
    try:
        boxes = read_rows(path).boxes
    except DataError:
        return
    assert np.isfinite(boxes).all()
    assert (boxes[:, :2] <= boxes[:, 2:]).all()


@given(st.text("namesvtriclp:/. []{}-0123,\n\"'&*!", max_size=60))
def test_hostile_yaml_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.yaml"
    path.write_text(f"names: {text}")
    try:
        config = read_config(path)
    except DataError:
        return
    assert config.count == len(config.names) or not config.names
