"""What ``edgecv run`` reports."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from edgecv_cli.core.result import Part, Result

Status = Literal["done", "cached", "rejected", "skipped", "would run"]


class StepReport(Part):
    """One step of the pipeline."""

    id: str
    stage: str
    inputs: tuple[str, ...] = Field(description="Steps whose artifacts it takes, or 'model'.")
    status: Status = Field(
        description="done: in this run; cached: taken from an earlier one; rejected: its gate was "
        "not met; skipped: it depends on one that was rejected; would run: with --dry-run."
    )
    why: str | None = Field(default=None, description="Why it has this status.")
    seconds: float | None = Field(
        default=None, description="What the work took; of a cached step, when it was done."
    )
    sha256: str | None = Field(default=None, description="Of the artifact that it gives.")
    published: tuple[str, ...] = Field(default=(), description="Outputs that now stand.")
    summary: str | None = Field(default=None, description="Its main figures in one line.")
    measurements: dict[str, Any] | None = Field(
        default=None, description="The stage's own result, as its command prints it."
    )

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints; the stage's result keeps the nulls that it has."""
        plain = self.model_dump(mode="json", exclude_none=True, exclude={"measurements"})
        return plain | ({} if self.measurements is None else {"measurements": self.measurements})


class RunResult(Result):
    """Every step, in the order that they were done."""

    schema_: str = Field(
        default="edgecv.run/1", serialization_alias="schema", validation_alias="schema"
    )
    pipeline: str
    dry_run: bool = False
    steps: tuple[StepReport, ...]
    cache: str = Field(description="Folder that finished steps are kept in.")
    seconds: float = Field(description="What this run took.")
    report: str | None = Field(default=None, description="Path of the HTML report.")

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {**super().to_json(), "steps": [step.to_json() for step in self.steps]}
