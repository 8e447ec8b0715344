"""Calibration audit: what is wrong with the images that ranges are taken from, and what to do.

Ranges are only as good as the images behind them. Everything here is a doubt with its evidence,
never a refusal, except where no image shows anything at all. Images are looked at in small; the
network runs on some tens of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError
from edgecv_cli.core.result import Part
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.feeding_check import Doubt, check_feeding
from edgecv_cli.measure.image_sets import (
    Difference,
    differences,
    near_duplicates,
    shared_files,
    spread_out,
)
from edgecv_cli.measure.image_statistics import ImageStatistics, image_statistics
from edgecv_cli.runtime.opening import open_runner

Check = Literal["blank", "few", "duplicates", "shared", "domain", "shape", "scale", "color"]

FEW = 32
_MOST_COMPARED = 64  # of the validation images
_NAMED = 3
_REPEATED = 0.05  # share of images from which repetition is worth a word
_MATTERS = 0.4  # Kolmogorov-Smirnov distance; halves of one photo collection: 0.15
_PADDED = 0.1  # share of the input, or octaves of stretching, from which aspect matters
_UNSTABLE = 0.1  # share of a range in which halves may differ
_OWN_IMAGES = "calibrate on images from where the detector will work, not on those of --data"


class Finding(Part):
    """A doubt about the calibration images."""

    check: Check
    found: str = Field(description="What was seen, with figures.")
    remedy: str = Field(description="What to change.")

    def __str__(self) -> str:
        return f"{self.found}: {self.remedy}"


def audit(
    artifact: Artifact,
    spec: DetectorSpec,
    paths: Sequence[Path],
    data: Sequence[Path],
    *,
    engine: str,
    threads: int | None,
    context: Context,
) -> tuple[Finding, ...]:
    """Look at calibration images before ranges are taken from them.

    Args:
        artifact: the float model.
        spec: how it is fed.
        paths: the calibration images; those that can't be decoded are left to calibration.
        data: the images that will judge, if any.
        engine, threads: what runs the network.
        context: progress, cancellation, and the seed of the random halves.

    Raises:
        DataError: no image shows anything.
        EngineError: the engine can't load or run the model.
    """
    images = image_statistics(paths, spec.input, context, name="look at calibration")
    findings = [*_blank(images), *_repeated(images), *_shared(images, data)]
    compared = list(spread_out(data, _MOST_COMPARED))
    if compared:
        judged = image_statistics(compared, spec.input, context, name="look at --data")
        found = differences(images, judged, least=_MATTERS, seed=context.seed)
        findings += _differing(found)
    seen = [path for path, blank in zip(images.paths, images.blank, strict=True) if not blank]
    runner = open_runner(artifact, engine, threads)
    try:
        findings += [_feeding(doubt) for doubt in check_feeding(runner, spec, seen, context)]
    finally:
        runner.close()
    return tuple(findings)


@dataclass(frozen=True)
class Stability:
    """How far ranges from two halves of the images differ, as a share of the whole range.

    Attributes:
        median, worst: over tensors; ``tensor`` is the one of the worst.
    """

    median: float
    worst: float
    tensor: str


def stability(
    first: Mapping[str, tuple[float, float]], second: Mapping[str, tuple[float, float]]
) -> Stability | None:
    """Compare the ranges (low, high) that two halves of the images give; None if there are none."""
    apart: dict[str, float] = {}
    for name in first.keys() & second.keys():
        (low, high), (other_low, other_high) = first[name], second[name]
        span = max(high, other_high) - min(low, other_low)
        if span > 0:
            apart[name] = (abs(low - other_low) + abs(high - other_high)) / span
    if not apart:
        return None
    worst = max(sorted(apart), key=lambda name: apart[name])
    return Stability(float(np.median(list(apart.values()))), apart[worst], worst)


def too_few(images: int, halves: Stability | None) -> tuple[Finding, ...]:
    """Say whether ranges rest on too few images, by their own stability where it is known.

    Args:
        images: how many were used.
        halves: of ranges from the even and the odd images, or None if that was not measured.
    """
    unstable = halves is not None and halves.median > _UNSTABLE
    if not unstable and images >= FEW:
        return ()
    found = f"ranges rest on {images} image{'s' * (images != 1)}"
    if halves is not None:
        found += (
            f"; two halves of them give ranges that differ by {halves.median:.0%} in the median "
            f"and {halves.worst:.0%} at worst ({halves.tensor})"
        )
    return (
        Finding(check="few", found=found, remedy="give more and more varied images, 100 or so"),
    )


def _blank(images: ImageStatistics) -> list[Finding]:
    names = [path.name for path, blank in zip(images.paths, images.blank, strict=True) if blank]
    if not names:
        return []
    if len(names) == len(images):
        raise DataError(
            f"all {len(names)} calibration images are of one colour throughout ({_few(names)})",
            remedy="give --calibration images of what the detector looks for",
        )
    found = f"{len(names)} of {len(images)} calibration images show nothing ({_few(names)})"
    return [Finding(check="blank", found=found, remedy="take them out")]


def _repeated(images: ImageStatistics) -> list[Finding]:
    pairs = near_duplicates(images)
    if len(pairs) < max(2, _REPEATED * len(images)):
        return []
    names = [f"{images.paths[a].name} = {images.paths[b].name}" for a, b in pairs]
    found = (
        f"{len(pairs)} of {len(images)} calibration images look like earlier ones ({_few(names)})"
    )
    remedy = "give images of different scenes; of a video, one in some seconds"
    return [Finding(check="duplicates", found=found, remedy=remedy)]


def _shared(images: ImageStatistics, data: Sequence[Path]) -> list[Finding]:
    pairs = shared_files(images, data)
    if not pairs:
        return []
    found = (
        f"{len(pairs)} of {len(data)} images of --data are calibration images too "
        f"({_few([path.name for _, path in pairs])}), so the drop looks smaller than it is"
    )
    return [Finding(check="shared", found=found, remedy=_OWN_IMAGES)]


def _differing(found: Sequence[Difference]) -> list[Finding]:
    findings = []
    looks = [entry for entry in found if entry.trait != "shape"]
    if looks:
        findings.append(
            Finding(
                check="domain",
                found="calibration images look unlike those of --data: " + _words(looks),
                remedy="calibrate on images of the kind that the detector will see",
            )
        )
    shape = [entry for entry in found if entry.trait == "shape"]
    if shape and abs(shape[0].first - shape[0].second) >= _PADDED:
        findings.append(
            Finding(
                check="shape",
                found="calibration images have another aspect than those of --data, and so other "
                "padding or stretching: " + _words(shape),
                remedy="calibrate on images from the same cameras, uncropped",
            )
        )
    return findings


def _words(found: Sequence[Difference]) -> str:
    listed = ", ".join(
        f"{entry.trait} {entry.first:.3g} against {entry.second:.3g}" for entry in found[:_NAMED]
    )
    best = found[0]
    return (
        f"{listed} (medians; Kolmogorov-Smirnov distance {best.distance:.2f}, "
        f"random halves stay below {best.noise:.2f})"
    )


def _feeding(doubt: Doubt) -> Finding:
    what = "values" if doubt.key == "scale" else "order of colours"
    return Finding(
        check="scale" if doubt.key == "scale" else "color",
        found=f"the model answers better to {doubt.better} than to {doubt.fed} as the {what} of "
        f"its pixels ({doubt.evidence})",
        remedy="check `input` in --spec; `edgecv inspect MODEL --probe DIR` tries the usual ones",
    )


def _few(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
