"""What is sent to a device: the name of a function, its settings, and files by their hash.

A job is data. It can name nothing but the functions of :mod:`edgecv_cli.pipeline.fleet.functions`,
and no path: where files stand is decided on the device.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from edgecv_cli.core.result import Part

PROTOCOL = 1
"""Raised when an older worker would misunderstand; the versions of edgecv have to be equal too."""

MAX_FILE_BYTES = 4 * 2**30
MAX_FILES = 20_000

_UNSAFE = re.compile("[\0\ud800-\udfff]")


def _relative(name: str) -> str:
    parts = PurePosixPath(name).parts
    inside = parts and not name.startswith("/") and ".." not in parts and "." not in parts
    if not inside or _UNSAFE.search(name) or max(len(part.encode()) for part in parts) > 200:
        raise ValueError(f"{name!r} is no name for a file of a job")
    return name


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class FileRef(Part):
    """A file by its content, and how it is called."""

    name: Annotated[str, AfterValidator(_relative)] = Field(max_length=1000)
    sha256: Sha256
    size_bytes: int = Field(ge=0, le=MAX_FILE_BYTES)


class Parcel(Part):
    """An input of a job: its main file, and those that have to stand beside it."""

    field: str = Field(description="The setting that takes the main file's path on the device.")
    shown: str = Field(description="What the result calls it: the path that the user gave.")
    files: tuple[FileRef, ...] = Field(min_length=1, max_length=MAX_FILES)


class Job(Part):
    """A registered function's name, its settings without paths, and its inputs."""

    function: str
    arguments: dict[str, Any]
    parcels: tuple[Parcel, ...] = ()
    wait_seconds: float = Field(default=1800, description="To wait until the device is free.")

    @property
    def files(self) -> dict[str, int]:
        """Digest to size of every file that it needs, each once."""
        return {file.sha256: file.size_bytes for parcel in self.parcels for file in parcel.files}
