"""Image size and soundness from the file's bytes alone, before a decoder allocates anything.

Five formats, each by its specification: JPEG (ITU-T T.81 annex B), PNG (RFC 2083 section 3),
BMP (BITMAPINFOHEADER), WebP (RFC 9649), TIFF 6.0. Anything else is refused: a decoder that is
never reached can't be attacked. The orientation is EXIF's (CIPA DC-008), in JPEG's APP1, PNG's
eXIf, WebP's EXIF chunk, or TIFF's own tag.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from edgecv_cli.media import tiff

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_NO_FRAME = {0xC4, 0xC8, 0xCC}  # DHT, JPG, DAC share the range of the frame headers
_JPEG_BARE = {0x01, *range(0xD0, 0xD8)}  # TEM and RSTn carry no length
_JPEG_APP1 = 0xE1
_EXIF = b"Exif\0\0"
_MAX_TIFF_BITS = 16


@dataclass(frozen=True)
class Header:
    """What an image file says of itself.

    Attributes:
        format: ``JPEG``, ``PNG``, ``BMP``, ``WebP`` or ``TIFF``.
        width, height: pixels as stored, before the orientation is applied.
        flaw: why the file can't be read, or None.
        orientation: how the stored pixels are to be turned, 1 (not at all) to 8, as in EXIF.
    """

    format: str
    width: int
    height: int
    flaw: str | None = None
    orientation: int = 1

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height in pixels once the orientation is applied."""
        return (self.width, self.height) if self.orientation < 5 else (self.height, self.width)


def read_header(data: bytes) -> Header | None:
    """Return the header of an encoded image, or None if it is none of the five formats."""
    for magic, parse in _PARSERS:
        if data.startswith(magic):
            try:
                return parse(data)
            except (struct.error, IndexError, KeyError):
                return None
    return None


def _jpeg(data: bytes) -> Header | None:
    at, orientation = 2, 1
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
            flaw = None if whole else "it ends early"
            return Header("JPEG", width, height, flaw, orientation)
        else:
            end = at + 2 + int(struct.unpack_from(">H", data, at + 2)[0])
            if marker == _JPEG_APP1 and data.startswith(_EXIF, at + 4):
                orientation = tiff.orientation_of(data[at + 4 + len(_EXIF) : end])
            at = end
    return None


def _png(data: bytes) -> Header | None:
    if data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    header = Header("PNG", width, height, "it ends early")
    view = memoryview(data)
    at = len(_PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        # libpng would report this fault as well, but on standard error.
        if zlib.crc32(view[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return replace(header, flaw=f"chunk at byte {at} is damaged (checksum)")
        kind = data[at + 4 : at + 8]
        if kind == b"eXIf":
            header = replace(header, orientation=tiff.orientation_of(data[at + 8 : end]))
        if kind == b"IEND":
            return replace(header, flaw=None)
        at = end + 4
    return header


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
    return Header("WebP", width, height, flaw, _webp_orientation(data))


def _webp_orientation(data: bytes) -> int:
    at = 12
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        if data.startswith(b"EXIF", at):
            return tiff.orientation_of(data[at + 8 : at + 8 + length].removeprefix(_EXIF))
        at += 8 + length + (length & 1)  # chunks are padded to even lengths
    return 1


def _tiff(data: bytes) -> Header | None:
    fields = tiff.read_directory(data)
    if tiff.WIDTH not in fields or tiff.HEIGHT not in fields:
        return None
    return Header(
        "TIFF",
        fields[tiff.WIDTH].value,
        fields[tiff.HEIGHT].value,
        _tiff_flaw(fields),
        tiff.orientation_of(data),
    )


def _tiff_flaw(fields: dict[int, tiff.Field]) -> str | None:
    bits, kind = fields.get(tiff.BITS), fields.get(tiff.SAMPLE_FORMAT)
    if kind is not None and kind.value == tiff.FLOATING_POINT:
        return "its samples are floating point numbers, not 8 or 16 bits"
    if bits is not None and bits.value > _MAX_TIFF_BITS:
        return f"its samples have {bits.value} bits, more than 16"
    return None


_PARSERS: tuple[tuple[bytes, Callable[[bytes], Header | None]], ...] = (
    (b"\xff\xd8\xff", _jpeg),
    (_PNG, _png),
    (b"BM", _bmp),
    (b"RIFF", _webp),
    (b"II*\x00", _tiff),
    (b"MM\x00*", _tiff),
)
