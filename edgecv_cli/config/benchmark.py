"""What ``edgecv benchmark`` takes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from edgecv_cli.config.base import (
    ArtifactPath,
    CommonConfig,
    DatasetPath,
    FilePath,
    Flag,
    OutputPath,
)
from edgecv_cli.config.common import (
    ENGINES,
    CoreList,
    ImageSize,
    ReportPath,
    Scenario,
    require_caching,
)
from edgecv_cli.config.fail_if import METRICS_BESIDE, Condition, FailIf, refuse_contradictions
from edgecv_cli.core.errors import UsageError


class BenchmarkConfig(CommonConfig):
    """Options of benchmark."""

    models: Annotated[tuple[ArtifactPath, ...], Flag(positional=True, metavar="MODEL...")] = Field(
        min_length=1, description="Models to time side by side."
    )
    engine: Annotated[
        tuple[str, ...], Flag(metavar="NAME[:DEVICE[:PRECISION]]", suggest=ENGINES)
    ] = Field(
        ("onnxruntime",), min_length=1, description="Engine to time them on; may be repeated."
    )
    data: Annotated[DatasetPath | None, Flag(metavar="DIR")] = Field(
        None,
        description="Labelled images (COCO, YOLO txt, Pascal VOC): each row's mAP is measured too.",
    )
    limit: Annotated[int | None, Flag(metavar="N")] = Field(
        None, ge=1, description="Images of --data to use. Default: all."
    )
    duration: Annotated[float, Flag(metavar="S")] = Field(
        5.0, gt=0, le=3600, description="Seconds of timed inference for each row."
    )
    samples: Annotated[int | None, Flag(metavar="N")] = Field(
        None, ge=1, le=1_000_000, description="Timed inferences of each row, instead of seconds."
    )
    launches: Annotated[int, Flag(metavar="N")] = Field(
        5,
        ge=1,
        le=100,
        description="Processes that each row is timed in, one after the other: times differ from "
        "process to process, and intervals have to hold that.",
    )
    affinity: Annotated[CoreList | None, Flag(metavar="CORES")] = Field(
        None, description="Logical cores to keep every model on, such as 0,2-3. Default: all."
    )
    timeout: Annotated[float, Flag(metavar="S")] = Field(
        300.0,
        gt=0,
        le=86_400,
        description="Seconds that a model may take to load and to answer once, before it is given "
        "up as hung.",
    )
    model_cache: bool = Field(
        False,
        description="Let engines that can load what an earlier start compiled (openvino), and say "
        "how many launches did. Without it every load compiles.",
    )
    end_to_end: bool = Field(
        False,
        description="Time whole pictures as well, stage by stage: decode, preprocess, infer, "
        "post-process; on the images of --data, or on drawn ones.",
    )
    streams: Annotated[int | None, Flag(metavar="N")] = Field(
        None,
        ge=1,
        le=256,
        description="Measure throughput as well: images a second with N inferences in flight.",
    )
    scenario: Scenario | None = Field(
        None,
        description="State a percentile with 99 % confidence as well, as MLPerf does: "
        "single-stream (p90 of one picture) or multi-stream (p99 of eight at once). Takes up to "
        "60 times --duration.",
    )
    profile: bool = Field(
        False,
        description="Show which operators the time goes to, by the engine's own counters, in "
        "processes apart from the timed ones.",
    )
    baseline: Annotated[int, Flag(metavar="N")] = Field(
        1, ge=1, description="The model that the ratios compare to, by its place."
    )
    input_size: Annotated[ImageSize | None, Flag(metavar="HxW")] = Field(
        None, description="Input size of models that leave it open."
    )

    devices: Annotated[FilePath | None, Flag(metavar="FLEET.yaml", panel="Fleet")] = Field(
        None,
        description="Measure on the devices that this file lists, each by itself, not here.",
    )
    label: Annotated[tuple[str, ...], Flag(metavar="NAME", panel="Fleet")] = Field(
        (), description="Take only devices with this label; may be repeated, then with all of them."
    )

    fail_if: Annotated[tuple[Condition, ...], Flag(metavar="EXPR", panel="Gates")] = Field(
        (),
        description="Exit with 3 if this holds for a row: 'p95_ms > 30', 'map < 0.30', "
        "'throughput_fps < 60' or 'energy_mj > 90', or against --compare 'p95_ms > +5%'; may be "
        "repeated.",
    )
    compare: Annotated[FilePath | None, Flag(metavar="BASELINE.json", panel="Gates")] = Field(
        None, description="What `benchmark --json` printed earlier, for conditions with %."
    )
    cross_machine: Annotated[bool, Flag(panel="Gates")] = Field(
        False, description="Compare with a baseline of another machine all the same."
    )
    strict: Annotated[bool, Flag(panel="Gates")] = Field(
        False, description="Fail by the figures, even where their interval leaves it open."
    )
    report: Annotated[ReportPath | None, Flag(metavar="FILE.html", panel="Files")] = Field(
        None, description="Write what was measured as one HTML file."
    )
    md: Annotated[OutputPath | None, Flag(metavar="FILE.md", panel="Files")] = Field(
        None, description="Write it as Markdown, such as for $GITHUB_STEP_SUMMARY."
    )
    csv: Annotated[OutputPath | None, Flag(metavar="FILE.csv", panel="Files")] = Field(
        None, description="Write the rows as CSV."
    )
    junit: Annotated[OutputPath | None, Flag(metavar="FILE.xml", panel="Files")] = Field(
        None, description="Write rows and conditions as JUnit XML, for CI."
    )
    force: Annotated[bool, Flag(panel="Files")] = Field(
        False, description="Overwrite existing files."
    )

    @model_validator(mode="after")
    def _conditions_can_be_judged(self) -> Self:
        refuse_contradictions(self.fail_if)
        relative = [str(one) for one in self.fail_if if one.relative]
        if relative and self.compare is None:
            raise UsageError(
                f"--fail-if '{relative[0]}' is against a baseline, and there is none",
                remedy="add --compare BASELINE.json, which `edgecv benchmark --json` printed",
            )
        if self.compare is not None and not relative:
            raise UsageError(
                "--compare has no condition that is against it",
                remedy="add one with a sign and %, such as --fail-if 'p95_ms > +5%'",
            )
        unmeasured = [str(one) for one in self.fail_if if one.metric == "map"]
        if unmeasured and self.data is None:
            raise UsageError(
                f"--fail-if '{unmeasured[0]}' needs mAP, which is measured on labelled images",
                remedy="add --data DIR",
            )
        for one in self.fail_if:
            self._require_measured(one)
        return self

    def _require_measured(self, condition: FailIf) -> None:
        """Refuse a condition on what is not measured unless it is asked for."""
        asked = {
            "--streams N": self.streams is not None,
            f"--scenario {self.scenario}": True,
            "--end-to-end": self.end_to_end,
        }
        option = METRICS_BESIDE.get(condition.metric)
        if option and not asked.get(option):
            raise UsageError(
                f"--fail-if '{condition}' needs {condition.metric}, which is not measured",
                remedy=f"add {option}",
            )

    @model_validator(mode="after")
    def _baseline_is_given(self) -> Self:
        if self.baseline > len(self.models):
            raise UsageError(
                f"--baseline {self.baseline} names no model: there are {len(self.models)}",
                remedy=f"give a number from 1 to {len(self.models)}",
            )
        return self

    @model_validator(mode="after")
    def _fleet_can_do_it(self) -> Self:
        if self.label and self.devices is None:
            raise UsageError(
                "--label picks devices, and there are none", remedy="add --devices FLEET.yaml"
            )
        return self

    @model_validator(mode="after")
    def _engine_caches(self) -> Self:
        if self.model_cache:
            require_caching(self.engine)
        if self.model_cache and self.devices is not None:
            raise UsageError(
                "--model-cache is this machine's, and --devices names others",
                remedy="leave --model-cache out",
            )
        return self

    @model_validator(mode="after")
    def _limit_has_data(self) -> Self:
        if self.limit is not None and self.data is None:
            raise UsageError(
                "--limit says how many labelled images to use, but there are none",
                remedy="add --data DIR, or leave --limit out",
            )
        return self
