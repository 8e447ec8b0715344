"""Options of what puts preprocessing into the graph."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edgecv_cli.config.base import CommonConfig, Flag
from edgecv_cli.core.errors import UsageError


class BakingConfig(CommonConfig):
    """Whether a model is to take bytes, and in which layout."""

    bake_preprocess: Annotated[bool, Flag(panel="Preprocessing")] = Field(
        False,
        description="Put colour order, scale, mean and std into the graph, which then takes uint8 "
        "BGR pixels.",
    )
    bake_layout: Annotated[Literal["nchw", "nhwc"] | None, Flag(panel="Preprocessing")] = Field(
        None,
        description="Layout of the uint8 input. Default: nhwc, as cameras and OpenCV have it.",
    )

    @model_validator(mode="after")
    def _layout_of_something(self) -> Self:
        if self.bake_layout is not None and not self.bake_preprocess:
            raise UsageError(
                "--bake-layout is for --bake-preprocess",
                remedy="add --bake-preprocess, or leave --bake-layout out",
            )
        return self
