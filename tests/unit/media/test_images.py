"""Reading images and folders of images."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from clips import picture, with_orientation, write_picture

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.images import (
    open_images,
    read_image,
    read_size,
)
from edgecv_cli.media.listing import list_images


def test_reads_bgr(tmp_path: Path) -> None:
    image = read_image(write_picture(tmp_path / "a.png"))
    assert image.dtype == np.uint8
    assert np.array_equal(image, picture())


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = read_image(write_picture(tmp_path / "a.png", grey))
    assert image.shape == (3, 4, 3)
    assert np.array_equal(image, np.repeat(grey[..., None], 3, axis=2))


def test_alpha_is_dropped(tmp_path: Path) -> None:
    rgba = np.dstack([picture(), np.full((30, 40), 7, np.uint8)])
    assert np.array_equal(read_image(write_picture(tmp_path / "a.png", rgba)), picture())


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    deep = picture().astype(np.uint16) * 257
    assert np.array_equal(read_image(write_picture(tmp_path / "a.png", deep)), picture())


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.jpg")
    upright = read_image(path)
    path.write_bytes(with_orientation(path.read_bytes(), 6))  # camera turned clockwise
    turned = read_image(path)
    assert turned.shape == (40, 30, 3)
    assert np.array_equal(turned, np.rot90(upright, -1))
    assert read_size(path) == (30, 40)


def test_names_of_any_letters(tmp_path: Path) -> None:
    assert read_image(write_picture(tmp_path / "größe 犬.jpg")).shape == (30, 40, 3)


def bomb() -> bytes:
    """A BMP of 54 bytes that claims 900 megapixels."""
    return b"BM" + struct.pack(
        "<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 30_000, 30_000, 1, 24, *[0] * 6
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a JPEG"),
        (b"\0" * 500, "not a JPEG"),
        (b"#EXTM3U\nhttp://example.org/a.ts\n", "not a JPEG"),
        (bomb(), "30000 x 30000"),
        (b"BM" + bytes(12) + struct.pack("<Iii", 40, 0, 5), "0 x 5"),
        (b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 50, 50, 1, 24, 0), "pixel data is broken"),
    ],
)
def test_hostile_content(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert words in caught.value.problem
    assert str(path) in caught.value.problem


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
def test_truncated_images_are_refused_in_silence(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    path = write_picture(tmp_path / f"a{suffix}", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError):
        read_image(path)
    assert capfd.readouterr().err == ""


def test_not_a_plain_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    with pytest.raises(DataError, match="not a plain file"):
        read_image(pipe)
    with pytest.raises(DataError, match="not there"):
        read_image(tmp_path / "none.jpg")


def test_file_size_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        file.truncate(600 * 1024**2)  # sparse: takes no room
    with pytest.raises(DataError, match="the limit is"):
        read_image(path)


def test_folder_is_sorted_and_only_images(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", ".hidden.png", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "d.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.png"]


def test_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        list_images(tmp_path)
    with pytest.raises(DataError, match="can't be read"):
        list_images(tmp_path / "none")


def test_open_images_takes_a_dataset_folder_and_a_limit(tmp_path: Path) -> None:
    for name in ("c", "a", "b"):
        write_picture(tmp_path / "images" / f"{name}.png")
    folder = open_images(tmp_path, limit=2)
    assert [path.name for path in folder.paths] == ["a.png", "b.png"]
    assert len(open_images(tmp_path / "images").paths) == 3


def test_digest_follows_names_and_contents(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_picture(tmp_path / f"{name}.png")
    before = open_images(tmp_path).digest
    assert open_images(tmp_path).digest == before
    (tmp_path / "b.png").rename(tmp_path / "c.png")
    renamed = open_images(tmp_path).digest
    write_picture(tmp_path / "c.png", picture(shade=9))
    assert len({before, renamed, open_images(tmp_path).digest}) == 3
