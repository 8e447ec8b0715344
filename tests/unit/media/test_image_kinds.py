"""Every kind of image file gives the right BGR pixels, or is refused by words."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import picture, with_orientation, write_picture
from handmade_images import exif, flat_jpeg, png, tiff, webp_with_exif

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.images import read_image, read_size

STORED = np.random.default_rng(3).integers(0, 256, (5, 7, 3)).astype(np.uint8)  # BGR
# Which side of the upright picture the stored first row and first column are (EXIF, 4.6.4).
SIDES = {
    1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
    5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
}  # fmt: skip


def upright(orientation: int) -> np.ndarray:
    """Put each stored pixel where the orientation says it is seen."""
    height, width = STORED.shape[:2]
    turned = orientation >= 5
    seen = np.zeros((width, height, 3) if turned else STORED.shape, np.uint8)
    for row in range(height):
        for column in range(width):
            place = {}
            for side, at, count in zip(
                SIDES[orientation], (row, column), (height, width), strict=True
            ):
                axis = "y" if side in ("top", "bottom") else "x"
                place[axis] = at if side in ("top", "left") else count - 1 - at
            seen[place["y"], place["x"]] = STORED[row, column]
    return seen


_HUGE = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
HUGE_PNG = b"".join([
    b"\x89PNG\r\n\x1a\n",
    struct.pack(">I", 13) + b"IHDR" + _HUGE + struct.pack(">I", zlib.crc32(b"IHDR" + _HUGE)),
    struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND")),
])  # fmt: skip


# 127 orientations that begin with 6 (in the strip) are none to libtiff.
MANY_ORIENTATIONS = tiff(np.full((20, 30, 3), 6, np.uint16), {274: 6}).replace(
    struct.pack("<HHII", 274, 3, 1, 6), struct.pack("<HHII", 274, 3, 127, 200)
)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def with_exif(suffix: str, orientation: int) -> bytes:
    if suffix == ".tiff":
        return tiff(STORED[..., ::-1], {274: orientation})
    if suffix == ".png":
        block = (b"eXIf", exif(orientation))
        return png(STORED[..., ::-1].reshape(5, -1).copy(), 8, 2, [block])
    done, data = cv2.imencode(".webp", STORED, [cv2.IMWRITE_WEBP_QUALITY, 101])
    assert done
    return webp_with_exif(data.tobytes(), 7, 5, exif(orientation, "<"))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
@pytest.mark.parametrize("orientation", SIDES)
def test_every_orientation_in_every_format(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = write(tmp_path / f"a{suffix}", with_exif(suffix, orientation))
    expected = upright(orientation)
    assert np.array_equal(read_image(path), expected)
    assert read_size(path) == (expected.shape[1], expected.shape[0])


@pytest.mark.parametrize("orientation", SIDES)
def test_every_orientation_of_a_jpeg(tmp_path: Path, orientation: int) -> None:
    done, data = cv2.imencode(".jpg", np.kron(STORED, np.ones((8, 8, 1), np.uint8)))
    assert done
    path = write(tmp_path / "a.jpg", with_orientation(data.tobytes(), orientation))
    blocks = read_image(path)[4::8, 4::8].astype(int)
    # JPEG is lossy and halves the colours' resolution; a wrong turn would be off by far more.
    assert np.abs(blocks - upright(orientation)).mean() < 25
    assert read_size(path) == read_image(path).shape[1::-1]


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path: Path, orientation: int) -> None:
    path = write(tmp_path / "a.png", with_exif(".png", orientation))
    assert np.array_equal(read_image(path), STORED)


def test_a_broken_exif_block_turns_nothing(tmp_path: Path) -> None:
    for block in (b"", b"MM\0*\0\0\0\xff", b"XX", exif(6)[:12]):
        data = png(STORED[..., ::-1].reshape(5, -1).copy(), 8, 2, [(b"eXIf", block)])
        assert read_image(write(tmp_path / "a.png", data)).shape == (5, 7, 3)


def inks(red: int, green: int, blue: int, black: int) -> tuple[int, int, int, int]:
    """The colour that inverted CMYK shows: paper seen through each ink and through black."""
    return tuple(round(value * black / 255) for value in (blue, green, red))


@pytest.mark.parametrize("adobe", [0, None])
@pytest.mark.parametrize("stored", [(200, 30, 60, 255), (250, 250, 10, 128), (7, 99, 180, 40)])
def test_cmyk_jpeg_is_read_as_inverted(
    tmp_path: Path, adobe: int | None, stored: tuple[int, int, int, int]
) -> None:
    image = read_image(write(tmp_path / "a.jpg", flat_jpeg(stored, adobe)))
    assert image.shape == (16, 24, 3)
    assert np.abs(image.astype(int) - inks(*stored)).max() <= 2


def test_ycck_jpeg(tmp_path: Path) -> None:
    red, green, blue, black = 200, 30, 60, 220
    r, g, b = 255 - red, 255 - green, 255 - blue  # T.871's luma and chroma of the complement
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    stored = (luma, 128 + (b - luma) / 1.772, 128 + (r - luma) / 1.402, black)
    data = flat_jpeg([round(value) for value in stored], 2)
    image = read_image(write(tmp_path / "a.jpg", data))
    assert np.abs(image.astype(int) - inks(red, green, blue, black)).max() <= 4


def test_progressive_jpeg(tmp_path: Path) -> None:
    done, data = cv2.imencode(".jpg", picture(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    assert done
    assert b"\xff\xc2" in data.tobytes()
    image = read_image(write(tmp_path / "a.jpg", data.tobytes()))
    assert np.abs(image[::29, ::39].astype(int) - picture()[::29, ::39]).max() < 6


def test_palette_and_one_bit_png(tmp_path: Path) -> None:
    palette = (b"PLTE", bytes([200, 30, 60, 20, 180, 90]))
    rows = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    image = read_image(write(tmp_path / "a.png", png(rows, 8, 3, [palette, (b"tRNS", b"\0")])))
    assert image[0].tolist() == [[60, 30, 200], [90, 180, 20], [90, 180, 20]]
    image = read_image(write(tmp_path / "b.png", png(np.array([[0b10100000]], np.uint8), 1, 0)))
    assert image[0, :4].tolist() == [[255] * 3, [0] * 3, [255] * 3, [0] * 3]


def test_sixteen_bits_become_eight_within_a_level(tmp_path: Path) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (4, 5, 3)).astype(np.uint16)
    for suffix in (".png", ".tiff"):
        for pixels in (deep, deep[..., 0]):
            image = read_image(write_picture(tmp_path / f"a{suffix}", pixels))
            expected = np.broadcast_to(pixels.reshape(4, 5, -1) / 257, (4, 5, 3))
            assert np.abs(image - expected).max() <= 1


@pytest.mark.parametrize("alpha", [0, 7, 255])
def test_alpha_is_dropped_and_colours_stay(tmp_path: Path, alpha: int) -> None:
    rgba = np.dstack([STORED[..., ::-1], np.full((5, 7), alpha, np.uint8)])
    files = {
        "a.png": png(rgba.reshape(5, -1), 8, 6),
        "a.tiff": tiff(rgba, {338: 2}),  # alpha that is not multiplied in
    }
    for name, data in files.items():
        assert np.array_equal(read_image(write(tmp_path / name, data)), STORED)


def test_the_suffix_does_not_matter(tmp_path: Path) -> None:
    data = write_picture(tmp_path / "a.png").read_bytes()
    assert np.array_equal(read_image(write(tmp_path / "b.jpg", data)), picture())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff(np.zeros((2, 2, 3), np.float32), {339: 3}), "floating point"),
        (tiff(np.zeros((2, 2, 3), np.uint32)), "32 bits, more than 16"),
        (HUGE_PNG, "100000 x 100000"),
        (flat_jpeg([128] * 3).replace(b"\0\x10\0\x18", b"\xff" * 4), "65535 x 65535"),
        (flat_jpeg([128] * 3)[:-2], "ends early"),
        (MANY_ORIENTATIONS, "contradicts its pixels"),
        (b"GIF89a" + bytes(30), "it is not a JPEG, PNG, BMP, WebP or TIFF image"),
    ],
)  # fmt: skip
def test_what_is_refused_is_said(tmp_path: Path, data: bytes, words: str) -> None:
    path = write(tmp_path / "a.jpg", data)
    with pytest.raises(DataError, match=words) as caught:
        read_image(path)
    assert str(path) in caught.value.problem
    assert caught.value.remedy


def test_the_size_needs_the_head_of_a_jpeg_only(tmp_path: Path) -> None:
    head = with_orientation(flat_jpeg([128] * 3), 6)[:-2]
    assert read_size(write(tmp_path / "a.jpg", head + bytes(400_000))) == (16, 24)
    profile = b"".join(b"\xff\xe2\xff\xff" + bytes(65533) for _ in range(5))
    long = head[:2] + profile + head[2:] + b"\xff\xd9"
    assert read_size(write(tmp_path / "b.jpg", long)) == (16, 24)
