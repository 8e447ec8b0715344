"""Images read in small: smaller by whole factors, upright, and hostile as whole ones are."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.images import read_image, read_reduced


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (640, 400))


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "bmp", "tiff"])
def test_it_looks_like_the_whole_image(ending, picture, tmp_path):
    path = tmp_path / f"a.{ending}"
    assert cv2.imwrite(str(path), picture)

    small = read_reduced(path, 64)

    assert (small.width, small.height) == (640, 400)
    assert small.image.shape == (100, 160, 3)
    assert small.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    whole = cv2.resize(read_image(path), (160, 100), interpolation=cv2.INTER_AREA)
    assert np.abs(small.image.astype(int) - whole).mean() < 4


def test_a_small_image_stays_as_it_is(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((3, 5, 3), 7, np.uint8))
    assert read_reduced(path, 64).image.shape == (3, 5, 3)


def test_a_broken_file_is_refused(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8 nothing more")
    with pytest.raises(DataError, match=r"a\.jpg"):
        read_reduced(path, 64)
