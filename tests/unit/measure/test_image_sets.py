"""Sets of images: what repeats, what is shared, what differs beyond chance."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

from edgecv_cli.core.context import Context
from edgecv_cli.detector.spec import InputSpec
from edgecv_cli.measure.image_sets import (
    differences,
    near_duplicates,
    shared_files,
    spread_out,
)
from edgecv_cli.measure.image_statistics import image_statistics
from edgecv_cli.measure.pictures import natural_pictures

INPUT = InputSpec(name="x", size=(64, 64), resize="letterbox")


def write(folder, pictures):
    folder.mkdir(parents=True)
    for place, picture in enumerate(pictures):
        assert cv2.imwrite(str(folder / f"{place:03}.png"), picture)
    return sorted(folder.iterdir())


def natural(count, seed, size=(48, 64)):
    return list(natural_pictures(count, size, seed))


def look(paths, spec=INPUT):
    return image_statistics(paths, spec, Context(), name="look")


def test_traits_are_what_they_are_called(tmp_path):
    red = np.full((32, 64, 3), (0, 0, 200), np.uint8)
    images = look(write(tmp_path / "a", [red]))
    brightness, contrast, colour, warmth, detail, flat, shape = images.traits[0]
    assert brightness == pytest.approx(200 * 0.299, abs=1)
    assert (contrast, colour, warmth, detail, flat, shape) == (0, 200, 200, 0, 1, 0.5)


def test_stretching_is_said_in_octaves(tmp_path):
    stretched = INPUT.model_copy(update={"resize": "stretch"})
    images = look(write(tmp_path / "a", natural(1, 0, (32, 64))), stretched)
    assert images.traits[0, -1] == pytest.approx(-1)


def test_images_that_show_nothing_are_told_by_every_colour(tmp_path):
    half = np.full((32, 32, 3), (0, 150, 0), np.uint8)
    half[:16] = (0, 0, 294 * 150 // 255)
    images = look(write(tmp_path / "a", [np.zeros((8, 8, 3), np.uint8), half, *natural(1, 0)]))
    assert images.blank.tolist() == [True, False, False]


def test_what_can_not_be_decoded_is_left_out(tmp_path):
    paths = write(tmp_path / "a", natural(2, 0))
    paths[0].write_bytes(b"no image")
    assert look(paths).paths == (paths[1],)


def test_an_image_that_was_saved_again_looks_like_the_first(tmp_path):
    pictures = natural(8, 0)
    darker = cv2.convertScaleAbs(cv2.resize(pictures[3], None, fx=1.5, fy=1.5), alpha=0.8)
    images = look(write(tmp_path / "a", [*pictures, darker, pictures[0]]))
    assert near_duplicates(images) == [(3, 8), (0, 9)]


def test_images_of_nothing_are_no_duplicates(tmp_path):
    black = np.zeros((32, 32, 3), np.uint8)
    assert near_duplicates(look(write(tmp_path / "a", [black, black]))) == []


def test_a_shared_file_is_found_by_its_content_under_any_name(tmp_path):
    paths = write(tmp_path / "a", natural(3, 0))
    others = write(tmp_path / "b", natural(3, 9))
    copy = tmp_path / "b" / "copy.png"
    shutil.copyfile(paths[1], copy)
    assert shared_files(look(paths), [*others, copy, tmp_path / "gone.png"]) == [(paths[1], copy)]


def test_darker_images_differ_in_brightness_and_halves_do_not(tmp_path):
    pictures = natural(40, 0)
    dark = [(picture * 0.2).astype(np.uint8) for picture in pictures[20:]]
    first, same, night = (
        look(write(tmp_path / name, part))
        for name, part in (("a", pictures[:20]), ("b", pictures[20:]), ("c", dark))
    )
    assert differences(first, same, least=0.4) == []
    found = {entry.trait: entry for entry in differences(first, night, least=0.4)}
    assert found["brightness"].distance == 1
    assert found["brightness"].first > 3 * found["brightness"].second
    assert 0 < found["brightness"].noise < 0.7


def test_one_image_says_nothing_of_a_difference(tmp_path):
    one = look(write(tmp_path / "a", [np.full((8, 8, 3), 9, np.uint8) + natural(1, 0, (8, 8))[0]]))
    many = look(write(tmp_path / "b", natural(10, 1)))
    assert differences(one, many, least=0.4) == []


def test_paths_are_taken_from_all_over():
    assert list(spread_out(range(10), 3)) == [0, 3, 6]
    assert list(spread_out(range(2), 3)) == [0, 1]
