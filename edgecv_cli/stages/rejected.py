"""Results that a gate refuses, kept where ``--keep-rejected`` says."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from edgecv_cli.core.files import Publication


def require_place(place: Path | None, *, force: bool, inputs: Sequence[Path]) -> None:
    """Refuse a place that can't be written to, before anything takes time.

    Args:
        place: where a refused result is to be kept; None keeps none.
        force: whether an older file there may go.
        inputs: files that it may not replace.

    Raises:
        OutputExistsError, OutputError, UsageError: as Publication.
    """
    if place is not None:
        with Publication(place, force=force, inputs=inputs) as publication:
            _ = publication.main


def keep(path: Path, place: Path, *, force: bool) -> None:
    """Copy a refused result to its place.

    Raises:
        OutputError: it can't be written.
    """
    with Publication(place, force=force) as publication:
        shutil.copyfile(path, publication.main)
        publication.commit()
