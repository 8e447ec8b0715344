"""The images of a folder or a dataset without their labels, as calibration takes them."""

from __future__ import annotations

from pathlib import Path

from edgecv_cli.media import coco_folder, voc
from edgecv_cli.media.coco import read_coco
from edgecv_cli.media.layouts import find_layouts
from edgecv_cli.media.listing import images_below, is_image_name, list_files, list_images
from edgecv_cli.media.yolo_txt import YoloImages, find_config, yolo_images

_TO_LEARN_FROM = ("train", "val", "test")


def find_images(path: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Return the images that a path stands for, and how they were chosen where that is open.

    Those directly in a folder; else of the dataset in it, whose labels are not read. Of several
    splits ``train`` is taken, so that ``val`` stays unseen for judging.

    Raises:
        DataError: no images, or a dataset whose images can't be told.
    """
    if path.is_file():
        return _named_by(path)
    if any(is_image_name(file) for file in list_files(path)):
        return list_images(path), ()
    config = find_config(path)
    if config is not None:
        return _split(yolo_images(config, prefer=_TO_LEARN_FROM))
    if (path / "images").is_dir():
        return _split(yolo_images(path, prefer=_TO_LEARN_FROM))
    if (path / "JPEGImages").is_dir():
        return list_images(path / "JPEGImages"), ()
    train = path / "train"
    return images_below(train if train.is_dir() else path), ()


def _named_by(path: Path) -> tuple[list[Path], tuple[str, ...]]:
    (found,) = find_layouts(path)
    if found.layout == coco_folder.LAYOUT:
        images = read_coco(path).images
        folder = coco_folder.images_of(path, images)
        return sorted(folder / image.file_name for image in images), ()
    if found.layout == voc.LAYOUT:
        return [labels.path for labels in voc.read_voc_set(path).images], ()
    return _split(yolo_images(path, prefer=_TO_LEARN_FROM))


def _split(images: YoloImages) -> tuple[list[Path], tuple[str, ...]]:
    note = f"the images of {images.source}, split {images.split}, are taken: {len(images.paths)}"
    return images.paths, (note,) if images.split else ()
