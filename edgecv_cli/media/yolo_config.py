"""The YAML beside a YOLO dataset: where its images are and what its classes are called.

Format: https://docs.ultralytics.com/datasets/detect/. Paths in it are data: they are looked for
inside the YAML's own folder only, the way the set was unpacked, wherever its author kept it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from edgecv_cli.config.yaml import read_yaml
from edgecv_cli.core.errors import ConfigError, DataError
from edgecv_cli.media.text import is_there, read_text

SPLITS = ("val", "test", "train")
NAMES_FILES = ("classes.txt", "obj.names", "_darknet.labels")
_MAX_NAMES_BYTES = 1024**2
_MAX_CLASSES = 100_000


@dataclass(frozen=True)
class YoloConfig:
    """What a dataset's YAML says.

    Attributes:
        file: the YAML.
        names: class index to name; empty if it gives none.
        count: how many classes there are; 0 if it does not say.
        splits: ``val``, ``test``, ``train`` to the files and folders they name, as written.
        base: the YAML's ``path``, as written.
    """

    file: Path
    names: dict[int, str]
    count: int
    splits: dict[str, tuple[str, ...]]
    base: str

    def places(self, split: str) -> list[Path]:
        """Return the folders and lists of a split.

        Raises:
            DataError: one is not inside the YAML's folder.
        """
        return [self._place(split, entry) for entry in self.splits[split]]

    def _place(self, split: str, entry: str) -> Path:
        root = Path(os.path.normpath(self.file.parent))
        for written in self._readings(entry):
            place = Path(os.path.normpath(root / written))
            if place.is_relative_to(root) and is_there(place, folder=True):
                return place
        raise _fault(self.file, f"names {entry!r} for {split}, which is not in {root}", _MOVE)

    def _readings(self, entry: str) -> Iterator[Path]:
        yield Path(self.base) / entry
        yield Path(entry)
        # Exporters write ../train/images and mean train/images beside the YAML.
        yield Path(*(part for part in Path(entry).parts if part != ".."))


_MOVE = "put the YAML into the folder that holds the images, with paths relative to it"


def is_config(path: Path) -> bool:
    """Whether a YAML describes a dataset."""
    try:
        content = read_yaml(path)
    except ConfigError:
        return False
    return isinstance(content, dict) and bool({"names", "nc", *SPLITS} & set(content))


def read_config(path: Path) -> YoloConfig:
    """Read a dataset's YAML.

    Raises:
        DataError: not YAML, or not a dataset's.
    """
    try:
        content = read_yaml(path)
    except ConfigError as error:
        raise DataError(error.problem, remedy=error.remedy) from error
    if not isinstance(content, dict):
        _fail(path, "is not a dataset's YAML: it holds no NAME: VALUE lines")
    if "kpt_shape" in content:
        _fail(path, "describes key points, not boxes", "give a dataset of boxes")
    base = content.get("path") or "."
    if not isinstance(base, str):
        _fail(path, f"has the path {base!r}, which is not text")
    splits = {
        split: tuple(_entries(path, split, content[split]))
        for split in SPLITS
        if content.get(split)
    }
    names = _names(path, content)
    return YoloConfig(path, names, _count(path, content, names), splits, base)


def read_names(path: Path) -> dict[int, str]:
    """Return the classes of a file that lists one name a line.

    Raises:
        DataError: unreadable, empty, or with a blank line between names.
    """
    names = read_text(path, _MAX_NAMES_BYTES).rstrip().splitlines()
    for line, name in enumerate(names, 1):
        if not name.strip():
            _fail(path, f"has no name in line {line}", "write one class name a line")
    if not names:
        _fail(path, "names no classes", "write one class name a line")
    return {index: name.strip() for index, name in enumerate(names)}


def _entries(path: Path, split: str, value: Any) -> list[str]:
    entries = value if isinstance(value, list) else [value]
    if not all(isinstance(entry, str) and "\0" not in entry for entry in entries):
        _fail(path, f"has a {split} that is neither a path nor a list of paths")
    return entries


def _names(path: Path, content: dict[Any, Any]) -> dict[int, str]:
    listed = content.get("names") or {}
    if not isinstance(listed, list | dict):
        _fail(path, "has names that are neither a list nor a mapping from index to name")
    pairs = listed.items() if isinstance(listed, dict) else enumerate(listed)
    return {_index(path, key): _name(path, key, name) for key, name in pairs}


def _count(path: Path, content: dict[Any, Any], names: dict[int, str]) -> int:
    count = content.get("nc", len(names))
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= _MAX_CLASSES:
        _fail(path, f"has the nc {count!r}, which is not a number of classes")
    if names and count != len(names):
        _fail(path, f"says nc: {count} but names {len(names)} classes")
    return count


def _index(path: Path, key: object) -> int:
    if not isinstance(key, int) or isinstance(key, bool) or not 0 <= key < _MAX_CLASSES:
        _fail(path, f"has names with the index {key!r}")
    return key


def _name(path: Path, key: object, name: object) -> str:
    if isinstance(name, bool) or not isinstance(name, str | int | float) or not str(name).strip():
        _fail(path, f"gives class {key} the name {name!r}", "write the names in quotes")
    return str(name)


def _fail(path: Path, what: str, remedy: str = "correct the file") -> NoReturn:
    raise _fault(path, what, remedy)


def _fault(path: Path, what: str, remedy: str) -> DataError:
    return DataError(f"{path} {what}", remedy=remedy)
