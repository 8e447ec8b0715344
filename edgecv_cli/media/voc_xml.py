"""One Pascal VOC annotation, read event by event from hostile XML.

Format: the VOC2012 development kit, section 'Annotation'. A document type is refused: only there
could entities be defined that expand without bound or read other files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.text import read_limited

MAX_XML_BYTES = 8 * 1024**2
_MAX_DEPTH = 16
_OBJECT = ("annotation", "object")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """One object: its class, xmin, ymin, xmax, ymax as written, and whether it is difficult."""

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class VocFile:
    """What one XML says; ``filename`` is empty and ``size`` None where it leaves them out."""

    path: Path
    filename: str
    size: tuple[int, int] | None
    objects: tuple[VocObject, ...]


@dataclass
class _Fields:
    """Texts of elements by their path below the annotation or the object, and where it began."""

    line: int = 0
    texts: dict[tuple[str, ...], str] = field(default_factory=dict)


def read_voc(path: Path) -> VocFile:
    """Read one annotation.

    Raises:
        DataError: unreadable, not XML, not VOC, or with a document type; with the line.
    """
    return _Reader(path).read()


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._take
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._open: list[str] = []
        self._text: list[str] = []
        self._whole = _Fields()
        self._object = _Fields()
        self._objects: list[VocObject] = []

    def read(self) -> VocFile:
        try:
            self._parser.Parse(read_limited(self._path, MAX_XML_BYTES), True)
        except (expat.ExpatError, LookupError, ValueError) as error:  # unknown encodings too
            what = expat.ErrorString(getattr(error, "code", 0)) or str(error)
            self._fail(getattr(error, "lineno", 1), f"is not valid XML: {what}")
        filename = self._whole.texts.get(("annotation", "filename"), "")
        return VocFile(self._path, filename, self._size(), tuple(self._objects))

    def _begin(self, tag: str, _attributes: dict[str, str]) -> None:
        self._open.append(tag)
        self._text.clear()
        if len(self._open) == 1 and tag != "annotation":
            self._fail(self._line, f"is not a Pascal VOC annotation: it begins with <{tag[:40]}>")
        if len(self._open) > _MAX_DEPTH:
            self._fail(self._line, f"nests deeper than {_MAX_DEPTH} elements")
        if tuple(self._open) == _OBJECT:
            self._object = _Fields(self._line)

    def _end(self, _tag: str) -> None:
        where, text = tuple(self._open), "".join(self._text).strip()
        self._open.pop()
        self._text.clear()
        if where == _OBJECT:
            self._objects.append(self._finish(self._object))
        elif where[:2] == _OBJECT:
            self._object.texts.setdefault(where[2:], text)
        else:
            self._whole.texts.setdefault(where, text)

    def _take(self, text: str) -> None:
        self._text.append(text)

    def _refuse_doctype(self, *_: object) -> None:
        self._fail(self._line, "has a document type (<!DOCTYPE>), which annotations don't need")

    @property
    def _line(self) -> int:
        return self._parser.CurrentLineNumber

    def _finish(self, fields: _Fields) -> VocObject:
        name = fields.texts.get(("name",), "")
        if not name:
            self._fail(fields.line, "has an object without a name")
        missing = [key for key in _CORNERS if ("bndbox", key) not in fields.texts]
        if missing:
            self._fail(fields.line, f"has an object {name!r} whose bndbox has no {missing[0]}")
        x1, y1, x2, y2 = (self._number(fields, key) for key in _CORNERS)
        if x2 < x1 or y2 < y1:
            self._fail(fields.line, f"has an object {name!r} with a box of negative size")
        difficult = fields.texts.get(("difficult",), "").lower() in {"1", "true"}
        return VocObject(name, (x1, y1, x2, y2), difficult)

    def _number(self, fields: _Fields, key: str) -> float:
        text = fields.texts["bndbox", key]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not abs(value) < 1e9:
            self._fail(fields.line, f"has an object whose {key} is {text[:40]!r}")
        return value

    def _size(self) -> tuple[int, int] | None:
        texts = [self._whole.texts.get(("annotation", "size", key)) for key in ("width", "height")]
        if texts[0] is None or texts[1] is None:
            return None
        try:
            width, height = (int(text) for text in texts if text is not None)
        except ValueError:
            width = height = -1
        if (width, height) == (0, 0):  # written by tools that never opened the image
            return None
        if not (0 < width <= 1_000_000 and 0 < height <= 1_000_000):
            self._fail(1, f"has the size {texts[0][:20]!r} x {texts[1][:20]!r}")
        return width, height

    def _fail(self, line: int, what: str) -> NoReturn:
        raise DataError(
            f"{self._path}, line {line}, {what}",
            remedy="correct the file, or take it and its image out of the dataset",
        )
