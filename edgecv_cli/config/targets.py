"""What ``edgecv targets`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edgecv_cli.config.base import CommonConfig, Flag
from edgecv_cli.core.errors import UsageError

INSTALLABLE = ("tflite",)
"""Targets that have an environment of their own; the others are a `pip install` away."""


class TargetsConfig(CommonConfig):
    """Options of targets; spec, threads and seed are taken as everywhere, and change nothing."""

    action: Annotated[Literal["list", "install"], Flag(positional=True, metavar="ACTION")] = Field(
        "list", description="list: what there is, and what is here. install: a target's converters."
    )
    target: Annotated[str | None, Flag(positional=True, metavar="TARGET")] = Field(
        None, description=f"Target to install: {', '.join(INSTALLABLE)}."
    )
    wheelhouse: Annotated[Path | None, Flag(metavar="DIR")] = Field(
        None, description="Install from the wheels in this folder, without any network."
    )
    force: bool = Field(False, description="Install again what is there.")

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        if self.action == "list" and (self.target or self.wheelhouse or self.force):
            raise UsageError(
                "edgecv targets lists all of them, and takes a target only to install it",
                remedy=f"edgecv targets install {INSTALLABLE[0]}",
            )
        if self.action == "install" and self.target not in INSTALLABLE:
            asked = self.target or "(none named)"
            raise UsageError(
                f"target {asked} has no environment of its own to install",
                remedy=f"name one of {', '.join(INSTALLABLE)}; `edgecv targets` says what the "
                "others need",
            )
        return self
