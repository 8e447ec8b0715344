"""Gates that several commands' options have: which is in force, and which can't be measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgecv_cli.config.common import MaxDrop
from edgecv_cli.core.errors import UsageError


def drop_in_force(asked: MaxDrop | None, data: Path | None, usual: MaxDrop) -> MaxDrop | None:
    """Return the accuracy gate: None without labelled data, else what was asked or is usual."""
    if data is None:
        return None
    return usual if asked is None else asked


def require_labels(max_drop: MaxDrop | None, data: Path | None, *, instead: str) -> None:
    """Refuse an accuracy gate that there are no labels for.

    Args:
        max_drop: what ``--max-drop`` asks.
        data: the labelled images.
        instead: the options that do without labels, for the remedy.

    Raises:
        UsageError: it can't be measured.
    """
    if max_drop is not None and data is None:
        raise UsageError(
            "--max-drop needs labelled images to measure the drop on",
            remedy=f"add --data DIR (labelled images), or use {instead}",
        )


def require_time(min_speedup: float | None, seconds: float) -> None:
    """Refuse a speed gate where the speed is not measured.

    Raises:
        UsageError: ``--speed-seconds`` is 0.
    """
    if min_speedup is not None and not seconds:
        raise UsageError(
            "--min-speedup needs the speed that --speed-seconds 0 leaves out",
            remedy="leave --speed-seconds out",
        )


def require_suffix(suffix: str, paths: Mapping[str, Path | None]) -> None:
    """Refuse outputs that nothing would open by their names.

    Args:
        suffix: what they must end in, with its dot.
        paths: option to path.

    Raises:
        UsageError: naming the option.
    """
    for option, path in paths.items():
        if path is not None and path.suffix.lower() != suffix:
            raise UsageError(
                f"{option} {path}: the name does not end in {suffix}, so nothing would open it",
                remedy=f"name it {path.stem}{suffix}",
            )
