"""Findings as results, and the fixed model held against the original."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.judge import Gates, Judge, Verdict
from edgecv_cli.config.convert_trt import ConvertTrtConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.tensorrt.finding import Finding
from edgecv_cli.graph.tensorrt.pair_repairs import Mended
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.media.images import open_images
from edgecv_cli.stages.convert_trt_result import CheckedAgainst, Repaired, RuleFinding

_ALL = 100_000


@dataclass(frozen=True)
class Checked:
    """How a fixed model compares with its original."""

    result: CheckedAgainst | None = None
    gates: dict[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def as_results(findings: Iterable[Finding]) -> tuple[RuleFinding, ...]:
    """Return findings as a result holds them."""
    return tuple(
        RuleFinding(
            rule=one.rule,
            level=one.level,
            node=one.node,
            message=one.message,
            remedy=one.remedy,
        )
        for one in findings
    )


def as_repairs(mended: Iterable[Mended]) -> tuple[Repaired, ...]:
    """Return repairs as a result holds them."""
    return tuple(
        Repaired(rule=one.rule, node=one.node, did=one.did, exact=one.exact) for one in mended
    )


def require_images(config: ConvertTrtConfig, fixed: Sequence[Repaired]) -> None:
    """Refuse to rewrite numbers without anything to check them on.

    Raises:
        UsageError: a repair is not exact, and there are neither --images nor --data.
    """
    lossy = [one for one in fixed if not one.exact]
    if lossy and _pictures(config) is None and config.data is None:
        raise UsageError(
            f"--fix changes what the network computes in {len(lossy)} places (first: "
            f"{lossy[0].did} in '{lossy[0].node}'), and there is nothing to check that on",
            remedy="add --images DIR (pictures, no labels) or --data DIR (labelled)",
        )


def held_against(
    original: Artifact,
    fixed: Path,
    spec: DetectorSpec,
    config: ConvertTrtConfig,
    context: Context,
) -> Checked:
    """Run both over --data, or else --images or --calibration, and hold it against the gates.

    Q/DQ runs as it is written, in float: this machine's integer kernels are not the target's.

    Raises:
        DataError, EngineError: the images can't be used, or a model can't be run.
    """
    pictures = _pictures(config)
    if pictures is None and config.data is None:
        return Checked(notes=("the model was not run: add --images DIR to compare detections",))
    data = None if config.data is None else open_dataset(config.data, limit=config.limit)
    paths: Sequence[Path] = ()
    if data is None and pictures is not None:
        paths = open_images(*pictures).paths
    judge = Judge(
        original,
        spec,
        Gates(config.drop_gate, config.agreement_gate, 0.0, strict=False),
        data=data,
        images=paths,
        engine="onnxruntime",
        exact=True,
        threads=config.threads,
        speed_seconds=None,
        context=context,
    )
    verdict = judge.judge(fixed)
    return Checked(_figures(judge, verdict), verdict.gates, verdict.refused, verdict.warnings)


def _pictures(config: ConvertTrtConfig) -> tuple[Path, int] | None:
    """Return the folder to compare on and how many of its images, if there is one."""
    if config.images is not None:
        return config.images, config.limit or _ALL
    if config.calibration is not None:
        return config.calibration, config.calibration_images
    return None


def _figures(judge: Judge, verdict: Verdict) -> CheckedAgainst:
    before, after = judge.baseline.accuracy, verdict.seen.accuracy
    return CheckedAgainst(
        images=judge.images,
        agreement=verdict.agreement,
        map_original=None if before is None else before.map,
        map_fixed=None if after is None else after.map,
        drop=None if verdict.drop is None else verdict.drop.drop,
    )
