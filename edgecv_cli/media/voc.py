"""Datasets in Pascal VOC's layout: ``Annotations/*.xml`` and ``JPEGImages/``, or XML beside images.

The development kit counts pixels from 1 and includes the last one; many tools that write the
layout count from 0. A dataset with a coordinate below 1, or with fractions for most of its
coordinates, can only be of the second kind, and is read as such as a whole. An object marked
difficult counts as a crowd does in COCO: neither for a detector that finds it nor against one
that does not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.labels import Annotated, Labels, refuse_missing
from edgecv_cli.media.listing import files_ending, is_image_name, list_files
from edgecv_cli.media.text import is_there, leads_out, read_text
from edgecv_cli.media.voc_xml import VocFile, read_voc

LAYOUT = "Pascal VOC"
_MAX_LIST_BYTES = 16 * 1024**2
_SETS = ("val", "test", "trainval", "train")


def voc_images(root: Path) -> Path:
    """Return the folder that holds the images of a VOC dataset."""
    named = (root / "JPEGImages", root / "images")
    return next((folder for folder in named if folder.is_dir()), root)


def voc_annotations(root: Path) -> Path:
    """Return the folder that holds the XML files of a VOC dataset."""
    named = (root / "Annotations", root / "annotations")
    return next((folder for folder in named if holds_xml(folder)), root)


def holds_xml(folder: Path) -> bool:
    """Whether a folder holds an XML file that is not hidden."""
    return any(not path.name.startswith(".") for path in folder.glob("*.xml"))


def read_voc_set(source: Path, *, limit: int | None = None) -> Annotated:
    """Read a dataset in Pascal VOC's layout.

    Args:
        source: its folder, or a list in its ``ImageSets/Main``.
        limit: at most this many images, the first by name; None takes all.

    Raises:
        DataError: images or annotations are missing, broken or contradict each other.
    """
    chosen = source if source.is_file() else _image_set(source)
    root = chosen.parents[2] if chosen else source
    folder = voc_annotations(root)
    paths = _listed(chosen, folder) if chosen else files_ending(folder, ".xml")
    files = [read_voc(path) for path in paths]
    images = _find_images(folder, voc_images(root), files[:limit])
    categories = _categories(source, files)
    offset = 0.0 if _counts_from_zero(files) else 1.0
    ids = {name: key for key, name in categories.items()}
    labels = [
        _labels(number, image, file, offset, ids)
        for number, (image, file) in enumerate(zip(images, files, strict=False), 1)
    ]
    used = f", {chosen.relative_to(root)}" if chosen else ""
    notes = _notes(f"{source} is read as {LAYOUT}{used}", offset, files[:limit])
    if not chosen:
        notes += _unused(voc_images(root), files)
    return Annotated(LAYOUT, folder, labels, categories, numbered=False, notes=notes)


def _image_set(root: Path) -> Path | None:
    lists = (root / "ImageSets" / "Main" / f"{name}.txt" for name in _SETS)
    return next((path for path in lists if path.is_file()), None)


def _listed(path: Path, folder: Path) -> list[Path]:
    stems: dict[str, int] = {}
    for line, text in enumerate(read_text(path, _MAX_LIST_BYTES).splitlines(), 1):
        name = text.strip()
        if not name:
            continue
        if len(name.split()) == 2 and name.split()[1] in {"-1", "0", "1"}:
            raise DataError(
                f"{path}, line {line}: it lists the images of one class",
                remedy="name the list of all classes, as ImageSets/Main/val.txt",
            )
        if leads_out(name):
            raise DataError(
                f"{path}, line {line} names {name!r}, which leads out of {folder}",
                remedy="write names of XML files without folder and suffix",
            )
        if name in stems:
            raise DataError(
                f"{path}, line {line} names {name!r}, as line {stems[name]} does",
                remedy="take one of them out",
            )
        stems[name] = line
    found = [folder / f"{name}.xml" for name in sorted(stems)]
    missing = [name.name for name in found if not is_there(name)]
    if missing or not found:
        raise DataError(
            f"{path} names {len(found)} annotations, of which {len(missing)} are not in {folder}"
            + (f", the first is {missing[0]!r}" if missing else ""),
            remedy="put them there, or take the names out of the list",
        )
    return found


def _find_images(folder: Path, images: Path, files: Sequence[VocFile]) -> list[Path]:
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for path in filter(is_image_name, list_files(images)):
        by_stem[path.stem].append(path)
    found = [
        _called_alike(by_stem.get(file.path.stem, ()), file) or _by_name(images, file)
        for file in files
    ]
    missing = [file.path.stem for file, path in zip(files, found, strict=True) if path is None]
    if missing:
        refuse_missing(folder, missing, len(files), str(images))
    there = [path for path in found if path is not None]
    twice = [path.name for path, count in Counter(there).items() if count > 1]
    if twice:
        raise DataError(
            f"several annotations in {folder} belong to the image {twice[0]!r}",
            remedy="call each XML file as its image",
        )
    return there


def _called_alike(images: Sequence[Path], file: VocFile) -> Path | None:
    """Return the image called as the XML; of several the one that the XML names."""
    if len(images) < 2:
        return images[0] if images else None
    named = [path for path in images if path.name == file.filename]
    if not named:
        raise DataError(
            f"{file.path} may belong to {' or '.join(path.name for path in images)}",
            remedy="name the image in the annotation's <filename>, or take the others away",
        )
    return named[0]


def _by_name(images: Path, file: VocFile) -> Path | None:
    if not file.filename:
        return None
    if leads_out(file.filename):
        raise DataError(
            f"{file.path} has the filename {file.filename!r}, which leads out of {images}",
            remedy="write the bare name of the image file",
        )
    path = images / file.filename
    return path if is_there(path) else None


def _categories(source: Path, files: Sequence[VocFile]) -> dict[int, str]:
    names = sorted({entry.name for file in files for entry in file.objects})
    if not names:
        raise DataError(
            f"{source} labels no object in {len(files)} XML files",
            remedy="name a dataset with labelled objects",
        )
    return dict(enumerate(names, 1))


def _counts_from_zero(files: Sequence[VocFile]) -> bool:
    corners = [value for file in files for entry in file.objects for value in entry.box[:2]]
    fractions = sum(not value.is_integer() for value in corners)
    return min(corners) < 1 or 2 * fractions > len(corners)


def _labels(number: int, image: Path, file: VocFile, offset: float, ids: dict[str, int]) -> Labels:
    boxes = np.array([entry.box for entry in file.objects], np.float64).reshape(-1, 4)
    boxes[:, :2] -= offset
    return Labels(
        image_id=number,
        path=image,
        size=file.size,
        boxes=boxes,
        category_ids=[ids[entry.name] for entry in file.objects],
        iscrowd=[entry.difficult for entry in file.objects],
    )


def _notes(first: str, offset: float, files: Sequence[VocFile]) -> tuple[str, ...]:
    counting = (
        "1, the last one included"
        if offset
        else "0, because coordinates are below 1 or mostly fractions"
    )
    notes = [first, f"pixels are counted from {counting}"]
    difficult = sum(entry.difficult for file in files for entry in file.objects)
    if difficult:
        notes.append(f"objects marked difficult, which count neither way: {difficult}")
    return tuple(notes)


def _unused(folder: Path, files: Sequence[VocFile]) -> tuple[str, ...]:
    known = {file.path.stem for file in files} | {Path(file.filename).stem for file in files}
    stems = [path.stem for path in list_files(folder) if is_image_name(path)]
    unused = sum(stem not in known for stem in stems)
    return (f"images without an XML file, not used: {unused}",) if unused else ()
