"""What ``prune`` reports."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.artifact.lineage import Step
from edgecv_cli.compress.pruning.flow import Flow
from edgecv_cli.core.result import Drop, Interval, Part, Result
from edgecv_cli.stages.quantize_result import HowMade, Side


class GroupRow(Part):
    """Channels that the same layers make, and that can leave."""

    producers: tuple[str, ...] = Field(description="Layers that make them, by output tensor.")
    consumers: tuple[str, ...] = Field(description="Layers that read them.")
    units: int = Field(description="Sets of channels that leave together.")
    macs_share: float = Field(
        description="Of the model's multiply-accumulates that would go with all of them, 0..1."
    )
    removed: int | None = Field(default=None, description="Units that left.")
    damage: float | None = Field(
        default=None, description="Loss of detections with this group alone cut as it was, 0..1."
    )


class WidthRow(Part):
    """A layer whose channels can leave, or that reads such: how many it makes."""

    layer: str = Field(description="By its output tensor.")
    before: int
    after: int


class BudgetRow(Part):
    """A milder budget, or the one that was taken, and what it costs."""

    flops_ratio: float
    damage: float = Field(
        description="Loss of detections with all that leaves at once, 0..1; measured on "
        "calibration images, layers fitted one by one, before the recovery."
    )


class SpeedRow(Part):
    """A cut that was timed on the way to --target-speedup."""

    flops_ratio: float
    speedup: float
    low: float
    high: float


class FitRow(Part):
    """A layer's error before and after it was fitted, on held-out calibration images."""

    layer: str
    before: float = Field(description="Mean squared error over the variance of its output.")
    after: float
    ridge: float | None = None


class TuneRow(Part):
    """How fine-tuning went: distances of what is predicted from the original's."""

    before: float = Field(description="On held-out calibration images; 0 is the same.")
    after: float
    steps: int = Field(description="Updates made.")
    best: int = Field(description="Update whose averaged weights were kept; 0: those before it.")
    ended: str = Field(description="steps, minutes, patience or diverged.")
    retreats: int = Field(
        description="Times that it went back to the best weights and on at 0.3 of the rate."
    )
    curve: tuple[tuple[int, float], ...] = Field(
        default=(), description="Updates and distance of each look at the held-out images."
    )


class PruneResult(Result):
    """Before and after, what left, and the evidence for it."""

    schema_: str = Field(
        default="edgecv.prune/1", serialization_alias="schema", validation_alias="schema"
    )
    model: str
    family: str
    macs: int = Field(description="Of one image, in layers with stored weights.")
    groups: tuple[GroupRow, ...]
    kept: dict[str, str] = Field(
        default_factory=dict, description="Layer whose channels all stay -> why."
    )
    flops_ratio: float | None = Field(default=None, description="after / before.")
    parameters_ratio: float | None = Field(default=None, description="after / before.")
    baseline: Side | None = None
    optimized: Side | None = None
    drop: Drop | None = None
    drop_interval: Interval | None = Field(
        default=None, description="Of the drop in points, paired bootstrap over images."
    )
    agreement: float | None = None
    speedup: float | None = Field(default=None, description="time(baseline) / time(optimized).")
    speedup_interval: Interval | None = None
    size_ratio: float | None = Field(default=None, description="size(baseline) / size(optimized).")
    widths: tuple[WidthRow, ...] = Field(
        default=(), description="Channels that each layer makes, in the graph's order."
    )
    curve: tuple[BudgetRow, ...] = Field(
        default=(), description="What milder budgets cost; with --importance damage."
    )
    curve_images: int | None = Field(default=None, description="Images behind the curve.")
    speeds: tuple[SpeedRow, ...] = Field(
        default=(), description="Cuts that were timed for --target-speedup, in order."
    )
    fits: tuple[FitRow, ...] = Field(default=(), description="Layers that were fitted, in order.")
    finetune: TuneRow | None = None
    seconds: dict[str, float] | None = Field(default=None, description="Time of each part.")
    gates: dict[str, str] = Field(
        default_factory=dict, description="Gate -> what was asked, what came out."
    )
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    how: HowMade | None = None
    saved: str | None = Field(default=None, description="Path of the artifact; null if refused.")
    sha256: str | None = None
    provenance: tuple[Step, ...] = Field(
        default=(), description="The steps that made the saved file, oldest first."
    )
    rejected: str | None = Field(default=None, description="Where a refused result was kept.")
    report: str | None = Field(default=None, description="Where the HTML report stands.")

    def to_json(self) -> dict[str, object]:
        """Return the object that ``--json`` prints; ``saved`` is null when nothing was."""
        return {**super().to_json(), "saved": self.saved}


def group_rows(flow: Flow) -> tuple[GroupRow, ...]:
    """Return what can leave a graph, group by group."""
    whole = max(1, flow.macs(()))
    return tuple(
        GroupRow(
            producers=group.producers,
            consumers=group.consumers,
            units=len(group.units),
            macs_share=1 - flow.macs({int(unit) for unit in group.units}) / whole,
        )
        for group in flow.groups
    )


def width_rows(flow: Flow, removed: frozenset[int]) -> tuple[WidthRow, ...]:
    """Return how many channels each layer makes, before and after ``removed`` has left."""
    rows = []
    for name in flow.topology.layers:
        keep = flow.keep(name, removed)
        if keep is not None:
            rows.append(WidthRow(layer=name, before=len(keep), after=int(keep.sum())))
    return tuple(rows)
