"""Which layout of labels a path holds, told from what lies on disk."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from edgecv_cli.core.errors import DataError
from edgecv_cli.media import coco_folder, voc, yolo_txt
from edgecv_cli.media.listing import is_image_name
from edgecv_cli.media.yolo_config import NAMES_FILES
from edgecv_cli.media.yolo_images import mirrored

LAYOUTS_READ = (
    "COCO (images/ and instances.json), YOLO txt (images/, labels/ and data.yaml) "
    "or Pascal VOC (JPEGImages/ and Annotations/)"
)
_A_FEW = 50  # images that are looked at for labels beside them


class Found(NamedTuple):
    """A layout, and the file or folder that its reader takes."""

    layout: str
    source: Path


def find_layouts(path: Path) -> list[Found]:
    """Return the layouts that fit a path, the one to read first.

    Raises:
        DataError: none fits, or several COCO files do.
    """
    if path.is_file():
        return [_of_file(path)]
    if not path.is_dir():
        raise _unfit(path, "it does not exist")
    if path.name == "labels" and (path.parent / "images").is_dir():
        return [Found(yolo_txt.LAYOUT, path.parent)]
    if path.name.lower() == "annotations" and voc.holds_xml(path):
        return [Found(voc.LAYOUT, path.parent)]
    found = [*_coco(path), *_yolo(path), *_voc(path)] or list(_lone_json(path))
    if not found:
        raise _unfit(path, _bare(path))
    return found


def _of_file(path: Path) -> Found:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return Found(coco_folder.LAYOUT, path)
    if suffix in {".yaml", ".yml"}:
        return Found(yolo_txt.LAYOUT, path)
    if suffix == ".txt":
        in_sets = path.parts[-3:-1] == ("ImageSets", "Main")
        return Found(voc.LAYOUT if in_sets else yolo_txt.LAYOUT, path)
    raise _unfit(path, "it is neither a folder nor a .json, .yaml or .txt of a dataset")


def _coco(path: Path) -> Iterator[Found]:
    plain = [path / "instances.json", path / "_annotations.coco.json"]
    found = [file for file in plain if file.is_file()]
    found = found or sorted((path / "annotations").glob("instances*.json"))
    if len(found) > 1:
        raise DataError(
            f"{path} holds several COCO files: {', '.join(file.name for file in found[:6])}",
            remedy=f"name one of them: --data {found[-1]}",
        )
    yield from (Found(coco_folder.LAYOUT, file) for file in found)


def _lone_json(path: Path) -> Iterator[Found]:
    files = [*path.glob("*.json"), *(path / "annotations").glob("*.json")]
    if len(files) == 1:
        yield Found(coco_folder.LAYOUT, files[0])


def _yolo(path: Path) -> Iterator[Found]:
    config = yolo_txt.find_config(path)
    if config is not None:
        yield Found(yolo_txt.LAYOUT, config)
    elif (
        (mirrored(path) != path and mirrored(path).is_dir())
        or ((path / "images").is_dir() and (path / "labels").is_dir())
        or any(_has(image, ".txt") for image in _some_images(path))
    ):
        yield Found(yolo_txt.LAYOUT, path)


def _voc(path: Path) -> Iterator[Found]:
    folder = voc.voc_annotations(path)
    if voc.holds_xml(folder) and (
        folder != path or any(_has(image, ".xml") for image in _some_images(path))
    ):
        yield Found(voc.LAYOUT, path)


def _some_images(folder: Path) -> Iterator[Path]:
    return islice(filter(is_image_name, folder.iterdir()), _A_FEW)


def _has(image: Path, suffix: str) -> bool:
    labels = image.with_suffix(suffix)
    return labels.is_file() and labels.name not in NAMES_FILES


def _bare(path: Path) -> str:
    inner = path / "images"
    images = any(True for _ in _some_images(inner if inner.is_dir() else path))
    return "it holds images but no labels" if images else "it holds no labels"


def _unfit(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} is not a labelled dataset: {why}", remedy=f"name a set as {LAYOUTS_READ}"
    )
