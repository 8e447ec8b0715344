"""Judge a saved file against its original: accuracy, agreement, speed and size, then the gates.

The file on disk is judged, not the graph in memory: what is measured is what ships.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.core.result import Drop, Interval
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.accuracy import (
    AccuracyResult,
    PairedDrop,
    evaluate_detections,
    paired_drop,
)
from edgecv_cli.measure.agreement import agreement
from edgecv_cli.measure.latency import compare_speed
from edgecv_cli.measure.latency_result import SpeedResult
from edgecv_cli.measure.self_map import look
from edgecv_cli.media.class_map import map_classes
from edgecv_cli.media.dataset import Dataset


class DropLimit(Protocol):
    """The largest loss that a gate allows, as the config writes it."""

    @property
    def value(self) -> float:
        """How much, in ``unit``."""
        ...

    @property
    def unit(self) -> str:
        """``%`` of the baseline or ``pt``: mAP points."""
        ...


@dataclass(frozen=True)
class Gates:
    """What was asked for.

    Attributes:
        max_drop: largest loss on labelled images; None where there are none.
        min_agreement: least agreement; None where labelled images decide alone.
        min_speedup: least speed-up; 0 accepts any.
        strict: whether the interval's lower end must clear ``min_speedup``.
    """

    max_drop: DropLimit | None
    min_agreement: float | None
    min_speedup: float
    strict: bool


@dataclass(frozen=True)
class Seen:
    """What an artifact finds: labelled accuracy if there are labels, and plain detections."""

    accuracy: AccuracyResult | None
    plain: list[Detections]


@dataclass(frozen=True)
class Verdict:
    """Everything that was measured of a candidate, and which gates refuse it.

    Attributes:
        gates: gate name -> what was asked and what came out, in words.
        refused: names of the gates that were not met.
    """

    seen: Seen
    drop: PairedDrop | None
    agreement: float | None
    speed: SpeedResult | None
    gates: dict[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Judge:
    """Measures candidates against one original, which is measured once."""

    def __init__(
        self,
        original: Artifact,
        spec: DetectorSpec,
        gates: Gates,
        *,
        data: Dataset | None,
        images: Sequence[Path],
        engine: str,
        exact: bool = False,
        threads: int | None,
        speed_seconds: float | None,
        context: Context,
    ) -> None:
        self._original = original
        self._spec = spec
        self._gates = gates
        self._data = data
        self._paths = [item.path for item in data.items] if data else list(images)
        self._class_map = (
            map_classes(spec.classes, data, background=spec.background) if data else {}
        )
        self._engine = engine
        self._exact = exact
        self._threads = threads
        self._speed_seconds = speed_seconds
        self._context = context
        self.baseline = self._look(original, "original")

    @property
    def images(self) -> int:
        """How many images both artifacts are looked at on."""
        return len(self._paths)

    @property
    def paths(self) -> Sequence[Path]:
        """The images that both artifacts are looked at on."""
        return self._paths

    def judge(self, path: Path) -> Verdict:
        """Measure the file and hold it against the gates."""
        seen = self._look(Artifact.open(path), "candidate")
        drop = None
        if seen.accuracy is not None and self.baseline.accuracy is not None:
            drop = paired_drop(self.baseline.accuracy, seen.accuracy)
        agreed = agreement(self.baseline.plain, seen.plain, self._spec.score_threshold).agreement
        speed = self._speed(path)
        checks = [_drop_gate(self._gates, drop, seen), _agreement_gate(self._gates, agreed)]
        checks.append(_speed_gate(self._gates, speed))
        made = [check for check in checks if check is not None]
        return Verdict(
            seen=seen,
            drop=drop,
            agreement=agreed,
            speed=speed,
            gates={check.name: check.text for check in made},
            refused=tuple(check.name for check in made if not check.met),
            warnings=(
                *(check.warning for check in made if check.warning),
                *(speed.warnings if speed else ()),
            ),
        )

    def _look(self, artifact: Artifact, name: str) -> Seen:
        found = look(
            artifact,
            self._spec,
            self._paths,
            self._context,
            engine=self._engine,
            threads=self._threads,
            name=f"evaluate {name}",
            exact=self._exact,
        )
        if self._data is None:
            return Seen(None, found.plain)
        accuracy = evaluate_detections(
            self._data, found.scored, self._class_map, seed=self._context.seed
        )
        return Seen(accuracy, found.plain)

    def _speed(self, path: Path) -> SpeedResult | None:
        if self._speed_seconds is None:
            return None
        return compare_speed(
            self._original.path,
            path,
            engine=self._engine,
            threads=self._threads,
            seconds=self._speed_seconds,
            context=self._context,
            spec=self._spec,
        )


@dataclass(frozen=True)
class _Check:
    name: str
    met: bool
    text: str
    warning: str = ""


def _drop_gate(gates: Gates, drop: PairedDrop | None, seen: Seen) -> _Check | None:
    if gates.max_drop is None or drop is None:
        return None
    lost = drop.drop
    value = 100 * lost.relative if gates.max_drop.unit == "%" else lost.points
    finite = seen.accuracy is not None and math.isfinite(seen.accuracy.map)
    met = finite and value <= gates.max_drop.value
    return _Check(
        "max_drop",
        met,
        f"at most {gates.max_drop.value:g}{gates.max_drop.unit}: lost "
        f"{100 * lost.relative:.1f}% ({describe_points(lost, drop.points)})",
    )


def describe_points(drop: Drop, interval: Interval | None) -> str:
    """Say a drop in points with its interval."""
    text = f"{drop.points:.1f} points"
    if interval is None:
        return text
    return f"{text}, {100 * interval.level:.0f}% interval {interval.low:.1f} to {interval.high:.1f}"


def _agreement_gate(gates: Gates, agreed: float | None) -> _Check | None:
    if gates.min_agreement is None:
        return None
    if agreed is None:
        text = f"at least {gates.min_agreement:g}: neither finds anything, nothing to compare"
        return _Check("min_agreement", met=False, text=text)
    return _Check(
        "min_agreement",
        agreed >= gates.min_agreement,
        f"at least {gates.min_agreement:g}: {agreed:.3f}",
    )


def _speed_gate(gates: Gates, speed: SpeedResult | None) -> _Check | None:
    if speed is None or gates.min_speedup <= 0:
        return None
    asked = gates.min_speedup
    text = f"at least {asked:g}x: {speed.ratio:.2f}x, interval {speed.low:.2f} to {speed.high:.2f}"
    shown = speed.low >= asked
    met = shown if gates.strict else speed.high >= asked
    warning = "" if shown or not met else f"speed-up of {asked:g}x is not shown ({text})"
    return _Check("min_speedup", met, text, warning)
