"""COCO folders, honest and hostile."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import picture, with_orientation, write_picture
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.media.images import open_images

Change = Callable[[dict[str, Any]], object]


def instances() -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "b.png", "width": 40, "height": 30},
            {"id": 3, "file_name": "sub/a.png", "width": 40, "height": 30},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 20, "bbox": [1, 2, 10.5, 20], "iscrowd": 1,
             "area": 99.5},
            {"id": 2, "image_id": 7, "category_id": 10, "bbox": [5, 5, 4, 4]},
        ],
        "categories": [{"id": 20, "name": "Hex Nut"}, {"id": 10, "name": "gear"}],
    }  # fmt: skip


def make(folder: Path, change: Change = lambda content: None) -> Path:
    for name in ("b.png", "sub/a.png"):
        write_picture(folder / "images" / name)
    content = instances()
    change(content)
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def test_items_by_id_with_corners(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path))
    first, second = dataset.items
    assert (first.image_id, second.image_id) == (3, 7)
    assert first.path == tmp_path / "images" / "sub" / "a.png"
    assert first.boxes.shape == (0, 4)
    assert np.array_equal(second.boxes, np.array([[1, 2, 11.5, 22], [5, 5, 9, 9]], np.float32))
    assert second.boxes.dtype == np.float32
    assert second.category_ids.tolist() == [20, 10]
    assert second.iscrowd.tolist() == [True, False]
    assert second.areas.tolist() == [99.5, 16.0]
    assert list(dataset.categories.items()) == [(10, "gear"), (20, "Hex Nut")]


def test_limit_takes_the_lowest_ids(tmp_path: Path) -> None:
    assert [item.image_id for item in open_dataset(make(tmp_path), limit=1).items] == [3]


def test_missing_sizes_come_from_the_file(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        del content["images"][0]["width"], content["images"][1]["height"]

    sizes = {(item.width, item.height) for item in open_dataset(make(tmp_path, change)).items}
    assert sizes == {(40, 30)}


def test_digest_follows_annotations_and_images(tmp_path: Path) -> None:
    before = open_dataset(make(tmp_path)).digest
    assert open_dataset(tmp_path).digest == before
    limited = open_dataset(tmp_path, limit=1).digest
    write_picture(tmp_path / "images" / "b.png", picture(shade=5))
    repainted = open_dataset(tmp_path).digest
    make(tmp_path, lambda content: content["annotations"].pop())
    assert len({before, limited, repainted, open_dataset(tmp_path).digest}) == 4


def put(key: str, index: int, **values: Any) -> Change:
    return lambda content: content[key][index].update(values)


def double(key: str) -> Change:
    return lambda content: content[key].append(dict(content[key][0]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("images", 0, file_name="../secret.png"), "leads out of images/"),
        (put("images", 0, file_name="/etc/passwd"), "leads out of images/"),
        (put("images", 0, file_name="sub/../../x.png"), "leads out of images/"),
        (put("images", 0, file_name="..\\x.png"), "leads out of images/"),
        (put("images", 0, file_name="C:\\x.png"), "leads out of images/"),
        (put("images", 0, file_name="a\0.png"), "has no file_name"),
        (put("images", 0, file_name=5), "has no file_name"),
        (put("images", 0, file_name="gone.png"), "1 of 2 images"),
        (put("images", 0, file_name="sub/a.png"), "a second time"),
        (put("images", 0, width=-3), "has the width -3"),
        (put("images", 0, id=True), "not a whole number"),
        (put("images", 0, id=3), "repeats the id 3"),
        (put("images", 0, id=10**30), "not a whole number"),
        (double("annotations"), "repeats the id 1"),
        (double("categories"), "repeats the id 20"),
        (put("categories", 0, name=" "), "has no name"),
        (put("annotations", 0, image_id=99), "does not define"),
        (put("annotations", 0, category_id=99), "does not define"),
        (put("annotations", 0, bbox=[1, 2, 3]), "no bbox"),
        (put("annotations", 0, bbox=[1, 2, float("inf"), 3]), "no bbox"),
        (put("annotations", 0, bbox=[1, 2, "3", 4]), "no bbox"),
        (put("annotations", 0, bbox=[1, 2, -3, 4]), "negative size"),
        (put("annotations", 0, area=float("nan")), "has the area"),
        (put("annotations", 0, iscrowd=2), "iscrowd"),
        (lambda content: content.pop("annotations"), "no list 'annotations'"),
        (lambda content: content.update(images=[5]), "is not an object"),
        (lambda content: content.update(images=[], annotations=[]), "lists no images"),
    ],
)
def test_hostile_instances(tmp_path: Path, change: Change, words: str) -> None:
    with pytest.raises(DataError) as caught:
        open_dataset(make(tmp_path, change))
    assert words in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", "[" * 200_000])
def test_broken_json(tmp_path: Path, text: str) -> None:
    (make(tmp_path) / "instances.json").write_text(text)
    with pytest.raises(DataError, match=r"instances\.json"):
        open_dataset(tmp_path)


def test_json_size_limit(tmp_path: Path) -> None:
    with (make(tmp_path) / "instances.json").open("wb") as file:
        file.truncate(2 * 1024**3)  # sparse: takes no room
    with pytest.raises(DataError, match="larger than"):
        open_dataset(tmp_path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_dataset(tmp_path / "none")
    with pytest.raises(DataError, match=r"holds no labels .*instances\.json.*data\.yaml.*JPEGIm"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="images but no labels"):
        open_dataset(write_picture(tmp_path / "images" / "a.png").parent)
    with pytest.raises(DataError, match="neither a folder nor"):
        open_dataset(write_picture(tmp_path / "a.png"))
    (tmp_path / "instances.json").write_text("{}")
    with pytest.raises(DataError, match="no list 'images'"):
        open_dataset(tmp_path)


def test_unreadable_json(tmp_path: Path) -> None:
    path = make(tmp_path) / "instances.json"
    path.unlink()
    path.symlink_to(path)  # a loop: exists for nobody
    with pytest.raises(DataError):
        open_dataset(tmp_path)


def only(bbox: list[float]) -> Change:
    return lambda content: content.update(
        annotations=[{"id": 1, "image_id": 7, "category_id": 20, "bbox": bbox}]
    )


def boxes_and_notes(folder: Path) -> tuple[list[list[float]], tuple[str, ...]]:
    dataset = open_dataset(folder)
    return dataset.items[1].boxes.tolist(), dataset.notes


def test_a_box_that_hangs_over_by_rounding_stays(tmp_path: Path) -> None:
    assert boxes_and_notes(make(tmp_path, only([-0.5, 2, 41.25, 20]))) == (
        [[-0.5, 2, 40.75, 22]],
        (),
    )


def test_a_box_that_hangs_over_is_clipped_and_counted(tmp_path: Path) -> None:
    boxes, notes = boxes_and_notes(make(tmp_path, only([-6, 2, 60, 50])))
    assert boxes == [[0, 2, 40, 30]]
    assert notes == ("boxes that reach beyond their image were clipped: 1",)


@pytest.mark.parametrize("bbox", [[50, 2, 5, 5], [-9, -9, 5, 5], [3, 3, 0, 5], [40, 3, 2, 5]])
def test_a_box_that_can_not_be_found_is_left_out_and_counted(
    tmp_path: Path, bbox: list[float]
) -> None:
    boxes, (note,) = boxes_and_notes(make(tmp_path, only(bbox)))
    assert boxes == []
    assert "left out: 1, the first in" in note
    assert note.endswith("b.png")


def test_another_size_than_annotated_is_refused(tmp_path: Path) -> None:
    make(tmp_path, put("images", 0, width=80))
    with pytest.raises(DataError, match=r"b\.png is 40 x 30 pixels, .* for 80 x 30"):
        open_dataset(tmp_path)


def test_annotations_that_ignore_the_orientation_are_refused(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["images"][0]["file_name"] = "c.jpg"

    make(tmp_path, change)
    path = write_picture(tmp_path / "images" / "c.jpg")
    path.write_bytes(with_orientation(path.read_bytes(), 6))
    with pytest.raises(DataError, match=r"c\.jpg is 30 x 40 .* ignore its EXIF orientation \(6\)"):
        open_dataset(tmp_path)


def test_missing_sizes_are_said(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        del content["images"][0]["width"]

    (note,) = open_dataset(make(tmp_path, change)).notes
    assert note.endswith("the file's was taken: 1")


def test_too_many_nodes_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgecv_cli.media.coco.MAX_JSON_NODES", 3)
    with pytest.raises(DataError, match="more than 3 lists"):
        open_dataset(make(tmp_path))


def test_a_name_that_no_disk_can_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 of 2 images"):
        open_dataset(make(tmp_path, put("images", 0, file_name="a" * 5000 + ".png")))


def test_a_path_that_no_disk_can_hold(tmp_path: Path) -> None:
    for opened in (open_dataset, open_images):
        with pytest.raises(DataError, match="too long"):
            opened(tmp_path / ("a" * 5000))


HOSTILE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.sampled_from(["images", "annotations", "categories"]), st.data())
def test_hostile_entries_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, key: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "hostile-coco"
    if not folder.is_dir():
        make(folder)
    content = instances()
    entry = data.draw(st.sampled_from(content[key]))
    entry[data.draw(st.sampled_from(sorted(entry)))] = data.draw(HOSTILE)
    (folder / "instances.json").write_text(json.dumps(content))
    try:
        items = open_dataset(folder).items
    except DataError:
        return
    for item in items:
        assert np.isfinite(item.boxes).all()
        assert (item.boxes[:, :2] < item.boxes[:, 2:]).all()


def move(folder: Path, *pairs: tuple[str, str]) -> Path:
    for old, new in pairs:
        (folder / new).parent.mkdir(parents=True, exist_ok=True)
        (folder / old).rename(folder / new)
    return folder


@pytest.mark.parametrize(
    "pairs",
    [
        [("instances.json", "annotations/instances_val2017.json"), ("images", "val2017")],
        [("instances.json", "annotations/instances_val2017.json"), ("images", "images/val2017")],
        [("instances.json", "annotations/instances_val2017.json")],
        [("instances.json", "images/_annotations.coco.json"), ("images", "flat")],
        [("instances.json", "labels_v2.json")],
    ],
)
def test_the_usual_places_of_coco_files(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    expected = open_dataset(make(tmp_path / "plain")).digest
    make(tmp_path / "set")
    if ("images", "images/val2017") in pairs:
        move(tmp_path / "set", ("images", "aside"))
        pairs = [pairs[0], ("aside", "images/val2017")]
    folder = move(tmp_path / "set", *pairs)
    flat = folder / "flat"
    assert open_dataset(flat if flat.is_dir() else folder).digest == expected


def test_several_coco_files_are_listed(tmp_path: Path) -> None:
    folder = move(make(tmp_path), ("instances.json", "annotations/instances_val.json"))
    text = (folder / "annotations" / "instances_val.json").read_text()
    (folder / "annotations" / "instances_train.json").write_text(text)
    with pytest.raises(DataError, match=r"instances_train\.json, instances_val\.json") as caught:
        open_dataset(folder)
    assert "--data" in caught.value.remedy
    assert len(open_dataset(folder / "annotations" / "instances_val.json").items) == 2


@pytest.mark.real
def test_real_dataset() -> None:
    folder = Path(__file__).parents[4] / "shared" / "data" / "validation"
    if not folder.is_dir():
        pytest.skip("no ../shared")
    dataset = open_dataset(folder)
    assert len(dataset.items) == 100
    assert sum(len(item.boxes) for item in dataset.items) == 670
    assert len(dataset.categories) == 80
