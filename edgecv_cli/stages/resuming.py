"""Trainings that were interrupted: where they are kept, and the command that goes on."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgecv_cli.config.base import Config
from edgecv_cli.core.errors import OutputExistsError


def training_path(output: Path) -> Path:
    """Return where a training is kept while it runs: beside the output."""
    return output.with_suffix(".training.npz")


def require_room(output: Path, *, resume: bool, force: bool) -> None:
    """Refuse to run over a training that is kept.

    Raises:
        OutputExistsError: there is one, and neither --resume nor --force is given.
    """
    path = training_path(output)
    if path.exists() and not resume and not force:
        raise OutputExistsError(
            f"'{path}' keeps an earlier training",
            remedy="add --resume to go on from it, or --force to begin anew",
        )


def resume_line(command: str, config: Config, positional: Iterable[str] = ("model",)) -> str:
    """Return the command that goes on from a kept training.

    Args:
        command: such as ``prune``.
        config: its options.
        positional: those that have no flag, in their order.
    """
    words = ["edgecv", command, *(str(getattr(config, name)) for name in positional)]
    for name in sorted(config.model_fields_set - {*positional, "resume", "force"}):
        value: Any = getattr(config, name)
        flag = "-o" if name == "output" else f"--{name.replace('_', '-')}"
        if value is None or value is False:
            continue
        if isinstance(value, tuple):
            value = "x".join(str(one) for one in value)
        words += [flag] if value is True else [flag, str(value)]
    return shlex.join([*words, "--resume"])
