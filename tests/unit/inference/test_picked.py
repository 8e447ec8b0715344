"""Objects cut out of pictures."""

from __future__ import annotations

import pytest
from clips import picture
from fakes import CLASSES, found

from edgecv_cli.inference.frames import Frame, FrameResult
from edgecv_cli.inference.picked import CropSink, cut_out
from edgecv_cli.inference.sinks import save_image
from edgecv_cli.media.images import read_image


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def still(*rows, source="a.png", classes=CLASSES):
    return FrameResult(Frame(source, 0, picture()), found(*rows), classes)


def test_objects_become_pictures_of_their_class(tmp_path):
    sink = CropSink(tmp_path, save_image)
    rows = [(2, 4, 22, 24, 0.9, 1), (-5, -5, 9.5, 9.2, 0.9, 2), (50, 50, 60, 60, 0.9, 1)]
    sink.write(still(*rows))
    sink.write(still(rows[0]))
    assert sink.kept == {"crops": 3}
    assert tree(tmp_path) == [
        "crops/bolt/a_01.jpg",
        "crops/bolt/a_01_2.jpg",
        "crops/hex_nut/a_02.jpg",
    ]
    assert read_image(tmp_path / "crops/bolt/a_01.jpg").shape == (20, 20, 3)
    assert read_image(tmp_path / "crops/hex_nut/a_02.jpg").shape == (10, 10, 3)


@pytest.mark.parametrize(
    ("name", "folder"), [("../../etc", "etc"), ("a/b", "a_b"), ("..", "unnamed"), ("", "unnamed")]
)
def test_a_class_can_not_name_a_folder_elsewhere(tmp_path, name, folder):
    CropSink(tmp_path, save_image).write(still((2, 4, 22, 24, 0.9, 0), classes=(name,)))
    assert tree(tmp_path) == [f"crops/{folder}/a_01.jpg"]


def test_what_lies_outside_is_no_picture():
    assert cut_out(picture(), [50.0, 50.0, 60.0, 60.0]) is None
    assert cut_out(picture(), [-9.0, -9.0, 0.0, 5.0]) is None
