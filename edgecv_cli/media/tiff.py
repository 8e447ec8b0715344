"""The first image file directory of a TIFF 6.0 file, which is also how EXIF is laid out.

Only the first value of a field is read: sizes, sample layout and orientation are such.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

WIDTH, HEIGHT, BITS, ORIENTATION, EXTRA_SAMPLES, SAMPLE_FORMAT = 256, 257, 258, 274, 338, 339
UNASSOCIATED_ALPHA, ASSOCIATED_ALPHA = 2, 1
FLOATING_POINT = 3
_ORDERS = {b"II": "<", b"MM": ">"}
_CODES = {1: "B", 3: "H", 4: "I"}  # BYTE, SHORT, LONG


class Field(NamedTuple):
    """The first value of a field.

    ``at`` is where it stands in the bytes, ``code`` how ``struct`` reads it there.
    """

    value: int
    at: int
    code: str


def read_directory(data: bytes) -> dict[int, Field]:
    """Return the whole-number fields of the first directory by their tags.

    Raises:
        struct.error: the data ends before the directory does.
        KeyError: it is not TIFF.
    """
    order = _ORDERS[data[:2]]
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, directory)
    fields: dict[int, Field] = {}
    for index in range(entries):
        at = directory + 2 + 12 * index
        tag, kind, count = struct.unpack_from(order + "HHI", data, at)
        if kind in _CODES and count:
            code = order + _CODES[kind]
            fields.setdefault(tag, _first(data, at + 8, code, count))
    return fields


def _first(data: bytes, at: int, code: str, count: int) -> Field:
    if struct.calcsize(code) * count > 4:  # more than the entry itself can hold
        (at,) = struct.unpack_from(code[0] + "I", data, at)
    return Field(struct.unpack_from(code, data, at)[0], at, code)


def orientation_of(exif: bytes) -> int:
    """Return the orientation (1..8) that an EXIF block asks for; 1 where it makes no sense."""
    try:
        field = read_directory(exif).get(ORIENTATION)
    except (struct.error, KeyError):
        return 1
    return field.value if field is not None and 1 <= field.value <= 8 else 1


def keep_colours(data: bytes) -> bytes:
    """Return a TIFF whose alpha is declared as multiplied in already.

    libtiff multiplies colours by an alpha that is declared separate; dropping alpha, as it is
    dropped in every other format, needs the colours as they are stored.
    """
    field = read_directory(data).get(EXTRA_SAMPLES)
    if field is None or field.value != UNASSOCIATED_ALPHA:
        return data
    changed = bytearray(data)
    struct.pack_into(field.code, changed, field.at, ASSOCIATED_ALPHA)
    return bytes(changed)
