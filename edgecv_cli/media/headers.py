"""Image size and soundness from the file's bytes alone, before a decoder allocates anything.

Five formats, each by its specification: JPEG (ITU-T T.81 annex B), PNG (RFC 2083 section 3),
BMP (BITMAPINFOHEADER), WebP (RFC 9649), TIFF 6.0. Anything else is refused: a decoder that is
never reached can't be attacked.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_NO_FRAME = {0xC4, 0xC8, 0xCC}  # DHT, JPG, DAC share the range of the frame headers
_JPEG_BARE = {0x01, *range(0xD0, 0xD8)}  # TEM and RSTn carry no length


@dataclass(frozen=True)
class Header:
    """What an image file says of itself.

    Attributes:
        format: ``JPEG``, ``PNG``, ``BMP``, ``WebP`` or ``TIFF``.
        width, height: pixels as stored, before any EXIF orientation.
        flaw: why the file can't be whole, or None.
    """

    format: str
    width: int
    height: int
    flaw: str | None = None


def read_header(data: bytes) -> Header | None:
    """Return the header of an encoded image, or None if it is none of the five formats."""
    for magic, parse in _PARSERS:
        if data.startswith(magic):
            try:
                return parse(data)
            except (struct.error, IndexError):
                return None
    return None


def _jpeg(data: bytes) -> Header | None:
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in _JPEG_NO_FRAME:
            height, width = struct.unpack_from(">HH", data, at + 5)
            # Searched after the frame header: an EXIF thumbnail before it ends with EOI too.
            whole = data.find(b"\xff\xd9", at) >= 0
            return Header("JPEG", width, height, None if whole else "it ends early")
        else:
            at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return None


def _png(data: bytes) -> Header | None:
    if data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return Header("PNG", width, height, _png_flaw(data))


def _png_flaw(data: bytes) -> str | None:
    """Walk the chunks: libpng would report the same faults, but on standard error."""
    view = memoryview(data)
    at = len(_PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(view[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return f"chunk at byte {at} is damaged (checksum)"
        if data[at + 4 : at + 8] == b"IEND":
            return None
        at = end + 4
    return "it ends early"


def _bmp(data: bytes) -> Header | None:
    (header_size,) = struct.unpack_from("<I", data, 14)
    if header_size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return Header("BMP", width, abs(height))  # a negative height means rows from the top


def _webp(data: bytes) -> Header | None:
    if data[8:12] != b"WEBP":
        return None
    (riff_size,) = struct.unpack_from("<I", data, 4)
    flaw = None if len(data) >= riff_size + 8 else "it ends early"
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
    elif kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        return None
    return Header("WebP", width, height, flaw)


def _tiff(data: bytes) -> Header | None:
    order = "<" if data[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, directory)
    sides: dict[int, int] = {}
    for index in range(entries):
        entry = directory + 2 + 12 * index
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in (256, 257):  # ImageWidth, ImageLength: SHORT or LONG
            sides[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, entry + 8)[0]
    if len(sides) != 2:
        return None
    return Header("TIFF", sides[256], sides[257])


_PARSERS: tuple[tuple[bytes, Callable[[bytes], Header | None]], ...] = (
    (b"\xff\xd8\xff", _jpeg),
    (_PNG, _png),
    (b"BM", _bmp),
    (b"RIFF", _webp),
    (b"II*\x00", _tiff),
    (b"MM\x00*", _tiff),
)
