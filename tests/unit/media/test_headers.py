"""Image headers, from bytes that may be anything."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from clips import picture, with_orientation
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.media.headers import read_header

FORMATS = {".jpg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WebP", ".tiff": "TIFF"}


def encoded(suffix: str, image: np.ndarray | None = None, *options: int) -> bytes:
    done, data = cv2.imencode(suffix, picture(31, 53) if image is None else image, list(options))
    assert done
    return data.tobytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_size_without_decoding(suffix: str) -> None:
    header = read_header(encoded(suffix))
    assert header is not None
    assert (header.format, header.width, header.height, header.flaw) == (
        FORMATS[suffix], 53, 31, None,
    )  # fmt: skip


@pytest.mark.parametrize("quality", [50, 101])  # above 100 is lossless: another chunk
def test_both_kinds_of_webp(quality: int) -> None:
    header = read_header(encoded(".webp", None, cv2.IMWRITE_WEBP_QUALITY, quality))
    assert header is not None
    assert (header.width, header.height) == (53, 31)


def test_extended_webp() -> None:
    body = b"WEBPVP8X" + struct.pack("<II", 10, 0) + (6999).to_bytes(3, "little")
    body += (4999).to_bytes(3, "little")
    header = read_header(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert header is not None
    assert (header.width, header.height) == (7000, 5000)


def test_old_bmp_and_bmp_from_the_top() -> None:
    old = b"BM" + bytes(12) + struct.pack("<IHH", 12, 7, 9)
    upside = b"BM" + bytes(12) + struct.pack("<Iii", 40, 7, -9)
    for data in (old, upside):
        header = read_header(data)
        assert header is not None
        assert (header.width, header.height) == (7, 9)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_truncated_is_a_flaw(suffix: str) -> None:
    data = encoded(suffix)
    header = read_header(data[:-20])
    assert header is not None
    assert header.flaw == "it ends early"


def test_thumbnail_does_not_hide_truncation() -> None:
    jpeg = with_orientation(encoded(".jpg"), 1)
    hidden = jpeg[:2] + b"\xff\xe2\x00\x06\xff\xd9\xff\xd9" + jpeg[2:-20]
    header = read_header(hidden)
    assert header is not None
    assert header.flaw == "it ends early"


def test_damaged_png_chunk() -> None:
    data = bytearray(encoded(".png"))
    data[60] ^= 0xFF
    header = read_header(bytes(data))
    assert header is not None
    assert header.flaw is not None
    assert "checksum" in header.flaw


def test_png_that_claims_too_much_is_read_not_trusted() -> None:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    header = read_header(data + struct.pack(">I", zlib.crc32(chunk)))
    assert header is not None
    assert (header.width, header.height) == (100_000, 100_000)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\x00\x00", b"RIFF....WAVEfmt ", b"II*\0"],
)
def test_anything_else_is_none(data: bytes) -> None:
    assert read_header(data) is None


@given(
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF", b"II*\0", b"MM\0*"]),
    st.binary(max_size=300),
)
def test_hostile_bytes_never_raise(magic: bytes, rest: bytes) -> None:
    header = read_header(magic + rest)
    assert header is None or header.format in FORMATS.values()
