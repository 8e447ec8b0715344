"""What ``edgecv demo`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from edgecv_cli.config.base import Config, Flag
from edgecv_cli.config.common import ReportPath


class DemoConfig(Config):
    """Options of demo."""

    output: Annotated[Path, Flag("-o", "--output", metavar="DIR")] = Field(
        Path("edgecv-demo"), description="Folder for the models, pictures and report."
    )
    report: Annotated[ReportPath | None, Flag(metavar="FILE.html")] = Field(
        None, description="Where the HTML report goes. Default: report.html in the folder."
    )
    force: bool = Field(False, description="Overwrite an existing folder.")
    threads: Annotated[int | None, Flag("--threads", metavar="N", panel="Common")] = Field(
        None, ge=1, le=1024, description="Threads an engine may use. Default: one per core."
    )
    seed: Annotated[int, Flag("--seed", metavar="N", panel="Common")] = Field(
        0, ge=0, description="Seed of everything random."
    )
