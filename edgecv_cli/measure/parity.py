"""How far two forms of one network are apart in their raw outputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgecv_cli.core.context import Context
from edgecv_cli.core.result import Part
from edgecv_cli.detector.feeding import InputFeed
from edgecv_cli.detector.parts import parts_of
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.pictures import natural_pictures
from edgecv_cli.measure.signal import Apart
from edgecv_cli.media.images import read_image
from edgecv_cli.runtime.base import Runner

_DRAWN = 4
_READ = 8

Outputs = Mapping[str, NDArray[Any]]


class OutputParity(Part):
    """One output, over all pictures; what is not finite is absent."""

    output: str = Field(description="Its name; and the role, where it holds several.")
    same: bool = Field(description="Equal to the last bit.")
    max_abs: float | None = Field(default=None, description="Largest difference of an element.")
    relative: float | None = Field(
        default=None, description="max_abs as a fraction of the reference's largest element."
    )
    snr_db: float | None = Field(
        default=None, description="Signal to noise, in decibels; absent where there is no noise."
    )
    problem: str | None = Field(default=None, description="Why the two can't be compared.")


class Parity(Part):
    """Every output of a converted network against the original's."""

    max_abs: float | None = Field(default=None, description="The largest of all outputs.")
    relative: float | None = Field(default=None, description="The largest of all outputs.")
    snr_db: float | None = Field(default=None, description="The lowest of all outputs.")
    outputs: tuple[OutputParity, ...]
    pictures: int
    source: str = Field(description="What the networks were fed: images, or drawn pictures.")

    @property
    def problem(self) -> str | None:
        """Why an output can't be compared, of the first for which that is so."""
        return next((one.problem for one in self.outputs if one.problem), None)


def pictures_for(
    paths: Sequence[Path], spec: DetectorSpec, seed: int
) -> tuple[list[NDArray[np.uint8]], str]:
    """Return the pictures to compare on, uint8 BGR [H, W, 3], and what they are.

    Args:
        paths: images of which the first few are read; without any, pictures are drawn.
        spec: how large to draw them.
        seed: of what is drawn.

    Raises:
        DataError: an image can't be decoded.
    """
    if paths:
        return [read_image(path) for path in paths[:_READ]], "images"
    return list(natural_pictures(_DRAWN, spec.input.size, seed)), "drawn pictures"


def outputs_of(
    runner: Runner, spec: DetectorSpec, pictures: Sequence[NDArray[np.uint8]], context: Context
) -> Iterator[Outputs]:
    """Run a network over pictures, one after the other; roles in one output come apart."""
    feed = InputFeed(runner.inputs, spec)
    for picture in pictures:
        context.cancel.check()
        feed.fill(picture)
        yield parts_of(spec, runner.infer(feed.feeds))


def parity(
    reference: Runner,
    candidate: Runner,
    spec: DetectorSpec,
    pictures: Sequence[NDArray[np.uint8]],
    context: Context,
    *,
    source: str,
    candidate_spec: DetectorSpec | None = None,
) -> Parity:
    """Feed two networks the same, and compare what comes out under the same names.

    Args:
        reference, candidate: the networks.
        spec: how both are fed and read.
        pictures: uint8 BGR [H, W, 3].
        context: progress and cancellation.
        source: what the pictures are.
        candidate_spec: how the candidate is fed, where that is not as the reference.

    Raises:
        EngineError: one of them fails.
        InterruptedByUser: the run was cancelled.
    """
    seen: dict[str, _Seen] = {}
    sides = (
        outputs_of(runner, told, pictures, context)
        for runner, told in ((reference, spec), (candidate, candidate_spec or spec))
    )
    for first, second in zip(*sides, strict=True):
        for name, output in first.items():
            seen.setdefault(name, _Seen()).add(output, second.get(name))
    outputs = tuple(one.row(name) for name, one in seen.items())
    snr = [one.snr_db for one in outputs if one.snr_db is not None]
    return Parity(
        max_abs=_largest(outputs, "max_abs"),
        relative=_largest(outputs, "relative"),
        snr_db=min(snr) if snr else None,
        outputs=outputs,
        pictures=len(pictures),
        source=source,
    )


@dataclass
class _Seen:
    apart: Apart = field(default_factory=Apart)
    peak: float = 0.0
    problem: str | None = None

    def add(self, first: NDArray[Any], second: NDArray[Any] | None) -> None:
        if second is None:
            self.problem = "the converted network does not give it"
        elif first.shape != second.shape:
            self.problem = f"shapes {list(first.shape)} and {list(second.shape)} differ"
        else:
            self.apart.add(first, second)
            self.peak = max(self.peak, float(np.abs(first.astype(np.float64)).max(initial=0.0)))

    def row(self, name: str) -> OutputParity:
        if self.problem is not None:
            return OutputParity(output=name, same=False, problem=f"output {name}: {self.problem}")
        largest = self.apart.largest
        if not math.isfinite(largest):
            problem = f"output {name}: values that are not finite"
            return OutputParity(output=name, same=False, problem=problem)
        return OutputParity(
            output=name,
            same=self.apart.same,
            max_abs=largest,
            relative=largest / self.peak if self.peak > 0 and math.isfinite(self.peak) else None,
            snr_db=self.apart.decibels,
        )


def _largest(outputs: Sequence[OutputParity], name: str) -> float | None:
    known = [value for one in outputs if (value := getattr(one, name)) is not None]
    return max(known) if known else None
