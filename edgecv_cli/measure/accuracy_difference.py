"""The difference in mAP between two detectors on the same images, in figures and in words."""

from __future__ import annotations

import math

from pydantic import Field

from edgecv_cli.core.result import Interval, Part
from edgecv_cli.measure.detailed_accuracy import DetailedAccuracy
from edgecv_cli.measure.paired_test import LEVEL, PairedTest, paired_test

_POINT = 1.0
_Z_LEVEL, _Z_POWER = 1.96, 0.84  # two-sided 5 %; seen in 80 % of the sets of images
_NARROW = 2.0  # points; a narrower interval is written with two digits
_FEWEST_IMAGES = 6  # fewer can't give a p-value below 0.05: 2 / 2^5 is more
_MOST_IMAGES = 10_000_000


class ClassDifference(Part):
    """A class in which the two are shown to differ."""

    name: str
    map: float = Field(description="AP of the model, 0..1.")
    against: float = Field(description="AP of the other.")
    points: float = Field(description="AP points, the model less the other.")
    objects: int
    p_value: float = Field(description="Corrected for the number of classes.")


class AccuracyDifference(Part):
    """Two detectors on the same images with the same post-processing."""

    points: float = Field(description="mAP points, the model less the other.")
    interval: Interval | None = Field(
        default=None, description="Of points; absent for fewer than 6 images."
    )
    p_value: float = Field(
        description="That alike detectors differ as much: images change sides at random."
    )
    permutations: int
    distinguishable: bool = Field(
        description="Whether p is below 0.05; the interval then leaves out 0."
    )
    per_class: tuple[ClassDifference, ...] = Field(
        default=(), description="Classes that stand out, the largest difference first."
    )
    images_for_a_point: int | None = Field(
        default=None,
        description="About how many images would show a difference of 1 point, four times of five.",
    )
    text: str = Field(description="The outcome in words.")


def accuracy_difference(
    model: DetailedAccuracy,
    other: DetailedAccuracy,
    names: tuple[str, str],
    *,
    seed: int = 0,
    permutations: int = 1000,
) -> AccuracyDifference:
    """Compare two detectors image by image.

    Args:
        model, other: evaluated on the same images with the same seed.
        names: what the two are called.
        seed: of the permutations.
        permutations: how many are drawn.

    Raises:
        ValueError: the two are not of the same images.
    """
    a, b = model.accuracy, other.accuracy
    if a.pairing != b.pairing:
        raise ValueError("accuracies of different images or seeds are not paired")
    matches = model.figures.matches, other.figures.matches
    test = paired_test(*matches, a.images, seed=seed, permutations=permutations)
    told_apart = test.p_value < LEVEL
    interval = _interval(test) if a.images >= _FEWEST_IMAGES else None
    return AccuracyDifference(
        points=100 * test.difference,
        interval=interval,
        p_value=test.p_value,
        permutations=test.permutations,
        distinguishable=told_apart,
        per_class=_standing_out(model, other, test),
        images_for_a_point=None if interval is None else _images_needed(test, a.images),
        text=_words(names, 100 * test.difference, interval, a.images, told_apart=told_apart),
    )


def single_words(interval: Interval | None, images: int) -> str:
    """Say what a number of images can tell about one detector's mAP.

    Args:
        interval: of its mAP, 0..1.
        images: how many it was measured on.
    """
    if interval is None:
        return f"{_count(images)} can't tell how far mAP would be elsewhere: there is no interval"
    reach = 100 * (interval.high - interval.low) / 2
    said = f"{_count(images)} tell mAP to about {reach:.1f} points either way"
    needed = _rounded(images * (reach / _POINT) ** 2)
    if reach > _POINT and needed:
        said += f"; for 1 point it would take about {needed:,}"
    return said


def _standing_out(
    model: DetailedAccuracy, other: DetailedAccuracy, test: PairedTest
) -> tuple[ClassDifference, ...]:
    mine, its = model.accuracy, other.accuracy
    found = [
        ClassDifference(
            name=name,
            map=mine.per_class[name],
            against=its.per_class[name],
            points=100 * (mine.per_class[name] - its.per_class[name]),
            objects=mine.objects[name],
            p_value=float(p_value),
        )
        for name, p_value in zip(model.class_names, test.p_by_class, strict=True)
        if p_value < LEVEL
    ]
    return tuple(sorted(found, key=lambda one: -abs(one.points)))


def _interval(test: PairedTest) -> Interval:
    return Interval(
        low=100 * (test.difference - test.reach),
        high=100 * (test.difference + test.reach),
        level=1 - LEVEL,
        method="permutation of images",
        resamples=test.permutations,
    )


def _images_needed(test: PairedTest, images: int) -> int | None:
    """Return how many images would show 1 point: the spread falls with the root of their number."""
    return _rounded(images * ((_Z_LEVEL + _Z_POWER) * 100 * test.spread / _POINT) ** 2)


def _rounded(images: float) -> int | None:
    """Return two digits of a number of images: it is an estimate, and shall look like one."""
    if not 0 < images <= _MOST_IMAGES:
        return None
    step: int = 10 ** max(0, math.floor(math.log10(images)) - 1)
    return max(1, math.ceil(images / step) * step)


def _words(
    names: tuple[str, str],
    points: float,
    interval: Interval | None,
    images: int,
    *,
    told_apart: bool,
) -> str:
    digits = 1 if interval is None or interval.high - interval.low >= _NARROW else 2
    ends = ""
    if interval is not None:
        ends = f", {interval.low:+.{digits}f} to {interval.high:+.{digits}f}"
    if not told_apart:
        difference = f"difference {points:+.{digits}f} points{ends}"
        return f"not distinguishable at {_count(images)} ({difference})"
    assert interval is not None
    better, worse = names if points > 0 else names[::-1]
    low, high = sorted((abs(interval.low), abs(interval.high)))
    by = f"{abs(points):.{digits}f} points ({low:.{digits}f} to {high:.{digits}f})"
    return f"{better} is better than {worse} by {by}"


def _count(images: int) -> str:
    return f"{images:,} image" + ("" if images == 1 else "s")
