"""What ``edgecv doctor`` takes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from edgecv_cli.config.base import CommonConfig, Flag
from edgecv_cli.core.errors import UsageError

ENGINES = ("onnxruntime", "openvino", "tensorrt", "tensorrt-rtx", "litert", "coreml")
"""Every engine that the command line has a name for; ``doctor`` says which of them run."""


class DoctorConfig(CommonConfig):
    """Options of doctor; spec, threads and seed are taken as everywhere, and change nothing."""

    require: Annotated[tuple[str, ...], Flag(metavar="NAME[:DEVICE]", suggest=ENGINES)] = Field(
        (),
        description="Engine that has to work here, or the exit code is 1; may be repeated. "
        f"One of: {', '.join(ENGINES)}.",
    )

    @model_validator(mode="after")
    def _engines_have_known_names(self) -> Self:
        for asked in self.require:
            if asked.partition(":")[0] not in ENGINES:
                raise UsageError(
                    f"--require {asked}: there is no such engine",
                    remedy=f"use one of: {', '.join(ENGINES)}",
                )
        return self
