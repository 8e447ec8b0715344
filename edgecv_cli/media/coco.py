"""Reading COCO's instances.json strictly: what is wrong is said with the entry's number.

Format: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.text import leads_out

MAX_JSON_BYTES = 512 * 1024**2  # instances_train2017.json has 448 MB
MAX_JSON_NODES = 32_000_000  # lists and objects, each of which costs some 70 bytes when read


@dataclass(frozen=True)
class CocoImage:
    """One entry of ``images``; width and height are 0 where the file leaves them out."""

    image_id: int
    file_name: str
    width: int
    height: int


@dataclass(frozen=True)
class CocoBox:
    """One entry of ``annotations``.

    Attributes:
        box: x, y, width, height in pixels.
        area: of the object in square pixels; of the box where the file leaves it out.
    """

    image_id: int
    category_id: int
    box: tuple[float, float, float, float]
    area: float
    iscrowd: bool


@dataclass(frozen=True)
class CocoFile:
    """What an instances.json says, checked entry by entry but not yet against the disk."""

    images: tuple[CocoImage, ...]
    boxes: tuple[CocoBox, ...]
    categories: dict[int, str]


def read_coco(path: Path) -> CocoFile:
    """Read and check an instances.json.

    Raises:
        DataError: unreadable, not JSON, not COCO; duplicate ids; a box of an unknown image or
            category; a file name that leaves ``images/``.
    """
    reader = _Reader(path, _load(path))
    images = tuple(reader.images())
    categories = dict(reader.categories())
    boxes = tuple(reader.boxes({image.image_id for image in images}, set(categories)))
    return CocoFile(images, boxes, categories)


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise _fault(path, f"is larger than {MAX_JSON_BYTES} bytes")
        data = path.read_bytes()
        if data.count(b"[") + data.count(b"{") > MAX_JSON_NODES:
            raise _fault(path, f"holds more than {MAX_JSON_NODES} lists and objects")
        content = json.loads(data)
    except OSError as error:
        raise _fault(path, f"can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _fault(path, f"is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise _fault(path, "is not a COCO file: its top level is not an object")
    return content


def _fault(path: Path, what: str) -> DataError:
    return DataError(
        f"{path} {what}",
        remedy="correct the file; COCO's format is at https://cocodataset.org/#format-data",
    )


class _Reader:
    """Turns the JSON's lists into typed entries; one fault ends it."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path = path
        self._content = content

    def images(self) -> Iterator[CocoImage]:
        """Yield the images; ids and file names are unique."""
        seen_ids: set[int] = set()
        seen_names: set[str] = set()
        for where, entry in self._entries("images"):
            image_id = self._unique(where, self._whole(where, entry, "id"), seen_ids)
            name = self._file_name(where, entry)
            if name in seen_names:
                self._fail(where, f"names {name!r} a second time")
            seen_names.add(name)
            sides = [self._side(where, entry, key) for key in ("width", "height")]
            yield CocoImage(image_id, name, *sides)

    def categories(self) -> Iterator[tuple[int, str]]:
        """Yield (id, name); ids are unique."""
        seen: set[int] = set()
        for where, entry in self._entries("categories"):
            category_id = self._unique(where, self._whole(where, entry, "id"), seen)
            name = entry.get("name")
            if not isinstance(name, str) or not name.strip():
                self._fail(where, "has no name")
            yield category_id, name

    def boxes(self, image_ids: set[int], category_ids: set[int]) -> Iterator[CocoBox]:
        """Yield the annotations; each belongs to a known image and category."""
        seen: set[int] = set()
        for where, entry in self._entries("annotations"):
            self._unique(where, self._whole(where, entry, "id"), seen)
            image_id = self._known(where, entry, "image_id", image_ids)
            category_id = self._known(where, entry, "category_id", category_ids)
            box = self._box(where, entry)
            area = entry.get("area", box[2] * box[3])
            if not _is_number(area) or area < 0:
                self._fail(where, f"has the area {area!r}")
            if entry.get("iscrowd", 0) not in (0, 1):
                self._fail(where, "has an iscrowd that is neither 0 nor 1")
            yield CocoBox(image_id, category_id, box, float(area), bool(entry.get("iscrowd", 0)))

    def _entries(self, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
        listed = self._content.get(key)
        if not isinstance(listed, list):
            raise _fault(self._path, f"is not a COCO file: it has no list {key!r}")
        for index, entry in enumerate(listed):
            where = f"{key}[{index}]"
            if not isinstance(entry, dict):
                self._fail(where, "is not an object")
            yield where, entry

    def _fail(self, where: str, what: str) -> NoReturn:
        raise _fault(self._path, f"is not usable: {where} {what}")

    def _whole(self, where: str, entry: dict[str, Any], key: str) -> int:
        value = entry.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not abs(value) < 2**53:
            self._fail(where, f"has the {key} {value!r}, which is not a whole number")
        return value

    def _unique(self, where: str, value: int, seen: set[int]) -> int:
        if value in seen:
            self._fail(where, f"repeats the id {value}")
        seen.add(value)
        return value

    def _known(self, where: str, entry: dict[str, Any], key: str, known: set[int]) -> int:
        value = self._whole(where, entry, key)
        if value not in known:
            self._fail(where, f"has the {key} {value}, which the file does not define")
        return value

    def _side(self, where: str, entry: dict[str, Any], key: str) -> int:
        if entry.get(key) is None:
            return 0
        value = self._whole(where, entry, key)
        if not 0 < value <= 1_000_000:
            self._fail(where, f"has the {key} {value}")
        return value

    def _box(self, where: str, entry: dict[str, Any]) -> tuple[float, float, float, float]:
        box = entry.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            self._fail(where, "has no bbox of four finite numbers")
        x, y, width, height = (float(value) for value in box)
        if width < 0 or height < 0:
            self._fail(where, f"has a bbox of negative size: {box}")
        return x, y, width, height

    def _file_name(self, where: str, entry: dict[str, Any]) -> str:
        """Names are data: they must not lead out of ``images/``, whatever the platform."""
        name = entry.get("file_name")
        if not isinstance(name, str) or not name or "\0" in name:
            self._fail(where, "has no file_name")
        if leads_out(name):
            self._fail(where, f"has the file_name {name!r}, which leads out of images/")
        return name


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and abs(value) < 1e9
