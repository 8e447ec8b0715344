"""Image files that OpenCV can't write, built byte by byte from their specifications."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def flat_jpeg(
    values: Sequence[int], adobe: int | None = None, blocks: tuple[int, int] = (2, 3)
) -> bytes:
    """A baseline JPEG (T.81) whose components have one value each in all `blocks` of 8 x 8.

    `adobe` adds an APP14 segment with that colour transform: 0 is CMYK, 2 is YCCK.
    """
    rows, columns = blocks
    parts = [b"\xff\xd8"]
    if adobe is not None:
        parts.append(_segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, adobe)))
    parts.append(_segment(0xDB, b"\0" + b"\x08" * 64))  # a DC of 8 x (value - 128), divided by 8
    frame = struct.pack(">BHHB", 8, 8 * rows, 8 * columns, len(values))
    parts.append(
        _segment(0xC0, frame + b"".join(bytes([i + 1, 0x11, 0]) for i in range(len(values))))
    )
    parts.append(_segment(0xC4, b"\0" + bytes([0, 0, 0, 9, *[0] * 12]) + bytes(range(9))))
    parts.append(_segment(0xC4, b"\x10" + bytes([1, *[0] * 15]) + b"\0"))
    scan = b"".join(bytes([i + 1, 0]) for i in range(len(values)))
    parts.append(_segment(0xDA, bytes([len(values)]) + scan + b"\0\x3f\0"))
    bits = "".join(_dc(value - 128) + "0" for value in values)
    bits += "00000" * len(values) * (rows * columns - 1)  # no difference to the block before
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return b"".join([*parts, data.replace(b"\xff", b"\xff\0"), b"\xff\xd9"])


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def _dc(value: int) -> str:
    size = abs(value).bit_length()
    if not size:
        return "0000"
    return f"{size:04b}" + f"{value if value > 0 else value + 2**size - 1:0{size}b}"


def exif(orientation: int, order: str = ">") -> bytes:
    """An EXIF block (TIFF structure) that holds an orientation alone."""
    mark = b"MM" if order == ">" else b"II"
    return mark + struct.pack(order + "HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def png(
    pixels: NDArray[np.uint8], bits: int, kind: int, chunks: Sequence[tuple[bytes, bytes]] = ()
) -> bytes:
    """A PNG (RFC 2083) from packed rows [H, bytes] of colour type `kind`; chunks go before IDAT."""
    height = len(pixels)
    samples = {0: 1, 2: 3, 3: 1, 6: 4}[kind]
    width = pixels.shape[1] * 8 // (bits * samples)
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    every = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in every
    )


def webp_with_exif(webp: bytes, width: int, height: int, block: bytes) -> bytes:
    """A simple WebP turned into an extended one (RFC 9649) with an EXIF chunk at its end."""
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<II", 10, 0x08) + sides + webp[12:]
    body += b"EXIF" + struct.pack("<I", len(block)) + block + b"\0" * (len(block) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(pixels: NDArray[np.generic], tags: dict[int, int] | None = None) -> bytes:
    """An uncompressed TIFF 6.0 of RGB or RGBA samples [H, W, n]; `tags` are further SHORTs."""
    height, width, samples = pixels.shape
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    bits = pixels.dtype.itemsize * 8
    fields = {
        256: width, 257: height, 258: bits, 259: 1, 262: 2, 273: 0, 277: samples, 278: height,
        279: len(data), 284: 1, **(tags or {}),
    }  # fmt: skip
    start = 8 + 2 + 12 * len(fields) + 4
    fields[273] = start + 2 * samples
    entries = b""
    for tag, value in sorted(fields.items()):
        if tag == 258:
            entries += struct.pack("<HHII", tag, 3, samples, start)
        else:
            entries += struct.pack("<HHII", tag, 4 if value > 65535 else 3, 1, value)
    directory = struct.pack("<H", len(fields)) + entries + b"\0\0\0\0"
    depths = struct.pack("<H", bits) * samples
    return b"II*\0\x08\0\0\0" + directory + depths + data
