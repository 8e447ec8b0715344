"""Pascal VOC's layout of labels, honest and hostile."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import write_picture
from hypothesis import given
from hypothesis import strategies as st
from layout_sets import voc_xml

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.media.voc_xml import read_voc

GEAR = ("gear", (5.0, 6.0, 20.0, 25.0))
NUT = ("nut", (1.0, 2.0, 40.0, 30.0))


def make(folder: Path, xml: dict[str, str], *, images: tuple[str, ...] = ()) -> Path:
    for name in images or tuple(f"JPEGImages/{stem}.png" for stem in xml):
        write_picture(folder / name)
    (folder / "Annotations").mkdir(exist_ok=True)
    for stem, text in xml.items():
        (folder / "Annotations" / f"{stem}.xml").write_text(text)
    return folder


def test_pixels_count_from_one_and_include_the_last(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, {"a": voc_xml([GEAR, NUT])}))
    (item,) = dataset.items
    assert item.boxes.tolist() == [[4, 5, 20, 25], [0, 1, 40, 30]]
    assert dataset.categories == {1: "gear", 2: "nut"}
    assert not dataset.numbered
    assert item.category_ids.tolist() == [1, 2]
    assert "counted from 1" in dataset.notes[1]


def test_a_coordinate_below_one_counts_all_from_zero(tmp_path: Path) -> None:
    make(tmp_path, {"a": voc_xml([GEAR]), "b": voc_xml([("nut", (0, 3, 9, 9))])})
    dataset = open_dataset(tmp_path, limit=1)
    assert dataset.items[0].boxes.tolist() == [[5, 6, 20, 25]]
    assert "counted from 0" in dataset.notes[1]


def test_fractions_count_from_zero(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, {"a": voc_xml([("gear", (5.5, 6.25, 20.5, 25))])}))
    assert dataset.items[0].boxes.tolist() == [[5.5, 6.25, 20.5, 25]]


def test_difficult_objects_are_crowds(tmp_path: Path) -> None:
    make(tmp_path, {"a": voc_xml([GEAR], difficult=1), "b": voc_xml([GEAR])})
    dataset = open_dataset(tmp_path)
    assert [item.iscrowd.tolist() for item in dataset.items] == [[True], [False]]
    assert dataset.notes[-1] == "objects marked difficult, which count neither way: 1"


def test_parts_and_unknown_elements_are_passed_over(tmp_path: Path) -> None:
    inner = "<part><name>head</name><bndbox><xmin>9</xmin></bndbox></part><pose>Left</pose>"
    xml = voc_xml([GEAR]).replace("<bndbox>", f"{inner}<bndbox>", 1)
    assert open_dataset(make(tmp_path, {"a": xml})).items[0].boxes.tolist() == [[4, 5, 20, 25]]


def test_a_list_chooses_and_val_goes_first(tmp_path: Path) -> None:
    make(tmp_path, {stem: voc_xml([GEAR]) for stem in "abc"})
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("c\n")
    (lists / "gear_val.txt").write_text("c  1\n")
    assert [item.path.stem for item in open_dataset(tmp_path).items] == ["c"]
    dataset = open_dataset(lists / "train.txt")
    assert [item.path.stem for item in dataset.items] == ["a", "b"]
    assert "train.txt" in dataset.notes[0]
    with pytest.raises(DataError, match="the images of one class"):
        open_dataset(lists / "gear_val.txt")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\n../a", "line 2 names '../a', which leads out"),
        ("/a", "leads out"),
        ("a\na", "line 2 names 'a', as line 1 does"),
        ("a\nb", "names 2 annotations, of which 1 are not in .*'b.xml'"),
        ("", "names 0 annotations"),
        ("a" * 5000, "of which 1 are not in"),
    ],
)
def test_lists_that_are_refused(tmp_path: Path, text: str, words: str) -> None:
    lists = make(tmp_path, {"a": voc_xml([GEAR])}) / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        open_dataset(tmp_path)


def test_xml_beside_images(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    (tmp_path / "a.xml").write_text(voc_xml([GEAR]))
    assert open_dataset(tmp_path).layout == "Pascal VOC"


def test_hidden_files_and_images_without_xml_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, {"a": voc_xml([GEAR])}, images=("JPEGImages/a.png", "JPEGImages/b.png"))
    (tmp_path / "Annotations" / "._a.xml").write_bytes(b"\0\5\x16\7")
    dataset = open_dataset(tmp_path)
    assert [item.path.name for item in dataset.items] == ["a.png"]
    assert dataset.notes[-1] == "images without an XML file, not used: 1"


def test_the_filename_names_an_image_that_is_called_otherwise(tmp_path: Path) -> None:
    xml = voc_xml([GEAR], filename="photo.png")
    dataset = open_dataset(make(tmp_path, {"a": xml}, images=("JPEGImages/photo.png",)))
    assert dataset.items[0].path.name == "photo.png"


def test_of_images_called_alike_the_named_one_is_taken(tmp_path: Path) -> None:
    images = ("JPEGImages/a.bmp", "JPEGImages/a.png")
    make(tmp_path, {"a": voc_xml([GEAR], filename="a.bmp")}, images=images)
    assert open_dataset(tmp_path).items[0].path.name == "a.bmp"

    make(tmp_path, {"a": voc_xml([GEAR])}, images=images)
    with pytest.raises(DataError, match=r"a\.xml may belong to a\.bmp or a\.png"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/x.png", "C:\\x.png"])
def test_a_filename_that_leads_out(tmp_path: Path, name: str) -> None:
    xml = voc_xml([GEAR], filename=name)
    with pytest.raises(DataError, match="leads out"):
        open_dataset(make(tmp_path, {"a": xml}, images=("JPEGImages/b.png",)))


def test_missing_images_are_counted(tmp_path: Path) -> None:
    make(tmp_path, {stem: voc_xml([GEAR]) for stem in "abc"}, images=("JPEGImages/b.png",))
    with pytest.raises(DataError, match=r"2 of 3 images .* the first is 'a'"):
        open_dataset(tmp_path)


def test_two_annotations_of_one_image(tmp_path: Path) -> None:
    xml = voc_xml([GEAR], filename="a.png")
    with pytest.raises(DataError, match=r"several annotations .* 'a\.png'"):
        open_dataset(make(tmp_path, {"a": xml, "b": xml}, images=("JPEGImages/a.png",)))


@pytest.mark.parametrize("size", [None, (0, 0)])
def test_sizes_that_are_not_given_are_said(tmp_path: Path, size: tuple[int, int] | None) -> None:
    dataset = open_dataset(make(tmp_path, {"a": voc_xml([GEAR], size)}))
    assert dataset.notes[-1].endswith("the file's was taken: 1")


def test_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png is 40 x 30 pixels, .* for 80 x 60"):
        open_dataset(make(tmp_path, {"a": voc_xml([GEAR], (80, 60))}))


DOCTYPE = """<?xml version="1.0"?>
<!DOCTYPE annotation [<!ENTITY a "0123456789"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotation><filename>&b;</filename></annotation>"""
EXTERNAL = """<!DOCTYPE annotation SYSTEM "file:///etc/passwd"><annotation/>"""


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        (DOCTYPE, "line 2, has a document type"),
        (EXTERNAL, "line 1, has a document type"),
        ("", "line 1, is not valid XML: no element found"),
        ("<annotation>\n<object>\n", "line 3, is not valid XML"),
        ("<annotation>&x;</annotation>", "undefined entity"),
        ("<?xml version='1.0' encoding='none'?><annotation/>", "is not valid XML"),
        ("<html/>", "begins with <html>"),
        ("<annotation>" + "<a>" * 100_000, "nests deeper than 16"),
        (voc_xml([("", GEAR[1])]), "line 2, has an object without a name"),
        (voc_xml([GEAR]).replace("ymax", "bottom"), "'gear' whose bndbox has no ymax"),
        (voc_xml([GEAR]).replace("bndbox", "polygon"), "'gear' whose bndbox has no xmin"),
        (voc_xml([("gear", (9, 9, 3, 20))]), "negative size"),
        (voc_xml([("gear", (9, 9, float("nan"), 20))]), "xmax is 'nan'"),
        (voc_xml([("gear", (9, 9, float("inf"), 20))]), "xmax is 'inf'"),
        (voc_xml([GEAR]).replace(">25<", ">x<"), "ymax is 'x'"),
        (voc_xml([GEAR], (-4, 5)), "has the size '-4' x '5'"),
        (voc_xml([]), "labels no object in 1 XML files"),
    ],
)
def test_xml_that_is_refused(tmp_path: Path, xml: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        open_dataset(make(tmp_path, {"a": xml}))
    assert caught.value.remedy


def test_xml_of_absurd_size(tmp_path: Path) -> None:
    make(tmp_path, {"a": voc_xml([GEAR])})
    with (tmp_path / "Annotations" / "a.xml").open("wb") as file:
        file.truncate(1024**3)  # sparse: takes no room
    with pytest.raises(DataError, match="larger than"):
        open_dataset(tmp_path)


@given(st.data())
def test_hostile_xml_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    text = bytearray(voc_xml([GEAR, NUT]).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=6))
        text = text or bytearray(b"<")
    path = tmp_path_factory.getbasetemp() / "hostile.xml"
    path.write_bytes(text)
    try:
        objects = read_voc(path).objects
    except DataError:
        return
    assert all(entry.box[0] <= entry.box[2] and entry.name for entry in objects)
