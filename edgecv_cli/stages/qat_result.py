"""What is reported of integers that were trained."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.core.result import Part


class IntegersRow(Part):
    """The training of a detector's integer form."""

    target: str = Field(description="What the integers are for.")
    estimator: str = Field(description="Of ranges, the one that did least harm before training.")
    untrained: dict[str, float] = Field(
        description="Estimator -> distance of the raw predictions from the teacher's before "
        "training, on held-out images."
    )
    before: float = Field(
        description="Distance of what is learned, before training: boxes and scores of "
        "candidates, or raw predictions where it takes more than a picture."
    )
    after: float
    steps: int = Field(description="Updates made.")
    best: int = Field(description="Update whose averaged weights were kept; 0: none was better.")
    ended: str = Field(description="steps, minutes, patience or diverged.")
    parity: float = Field(
        description="Root mean square difference of what ONNX Runtime makes of the file from what "
        "was trained, over the output's spread."
    )
    seconds: float = Field(description="Of the training.")
