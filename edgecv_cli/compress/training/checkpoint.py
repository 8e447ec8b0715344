"""Training kept on disk: arrays and a JSON header in one npz, which holds no code.

torch's own files are pickles; an npz that is read with ``allow_pickle=False`` is numbers only, and
is read and refused without torch.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import DataError
from edgecv_cli.core.files import Publication, writing

_FORMAT = "edgecv.training/1"
_HEADER = "header"
_MOST_BYTES = 4 * 1024**3


@dataclass(frozen=True)
class Checkpoint:
    """Where a training stands.

    Attributes:
        model: digest of what is trained and what it learns from; see :func:`load`.
        header: numbers and texts, JSON.
        arrays: by name.
    """

    model: str
    header: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole, in place of an older one.

    Raises:
        OutputError: it can't be written.
    """
    header = {"format": _FORMAT, "model": checkpoint.model, **checkpoint.header}
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with Publication(path, force=True) as publication, writing(path):
        with publication.main.open("wb") as file:
            np.savez(file, allow_pickle=False, **{_HEADER: text, **checkpoint.arrays})
        publication.commit()


def load(path: Path, *, model: str | None = None) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: of the file.
        model: digest that it has to be of; None takes any.

    Raises:
        DataError: it is missing, broken, no checkpoint, or of another model.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(one.file_size for one in archive.infolist()) > _MOST_BYTES:
                raise _unusable(path, "it claims more than 4 GiB")
        with np.load(path, allow_pickle=False) as stored:
            header = json.loads(bytes(stored[_HEADER]).decode())
            arrays = {name: stored[name] for name in stored.files if name != _HEADER}
        if header["format"] != _FORMAT:
            raise _unusable(path, f"its format is {str(header['format'])[:40]!r}")
        found = str(header["model"])
    except FileNotFoundError:
        raise DataError(
            f"there is no checkpoint '{path}' to go on from", remedy="leave --resume out"
        ) from None
    except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile) as error:
        raise _unusable(path, str(error).splitlines()[0][:200] if str(error) else "") from error
    if model is not None and found != model:
        raise DataError(
            f"the checkpoint '{path}' is of another model, other images or other options",
            remedy="give the command that began it, or leave --resume out and add --force",
        )
    return Checkpoint(found, header, arrays)


def _unusable(path: Path, reason: str) -> DataError:
    return DataError(
        f"'{path}' is no checkpoint that can be read: {reason}",
        remedy="leave --resume out and add --force to begin anew",
    )
