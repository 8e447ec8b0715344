"""What sets of images have in common, and in what they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.files import sha256_file
from edgecv_cli.measure.image_statistics import TRAITS, ImageStatistics

ALIKE = 0.97  # correlation of two miniatures; unrelated photographs stay below 0.9
_BLOCK = 512  # images compared with all others at once
_SPLITS = 400
_LEVEL = 99.0  # percentile of what chance does


@dataclass(frozen=True)
class Difference:
    """A trait in which two sets differ more than two halves of their union do.

    Attributes:
        trait: one of ``TRAITS``.
        distance: Kolmogorov-Smirnov distance, 0..1: the largest gap between the shares of
            images below a value.
        noise: the distance that random halves of both sets together stay below, in all traits,
            99 times of 100.
        first, second: the sets' medians.
    """

    trait: str
    distance: float
    noise: float
    first: float
    second: float


def near_duplicates(images: ImageStatistics) -> list[tuple[int, int]]:
    """Return (earlier, later) for every image that looks like an earlier one, once each.

    Two images look alike if their miniatures correlate by at least 0.97, whatever their
    brightness; images that show nothing are left out.
    """
    places = np.flatnonzero(~images.blank)
    centred = images.miniatures[places].astype(np.float32)
    centred -= centred.mean(axis=1, keepdims=True)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1.0)
    found = []
    for start in range(0, len(places), _BLOCK):
        block = centred[start : start + _BLOCK]
        alike = block @ centred[: start + len(block)].T >= ALIKE
        for row, likes in enumerate(alike):
            first = int(likes.argmax())  # itself at the latest
            if likes[first] and first < start + row:
                found.append((int(places[first]), int(places[start + row])))
    return found


def shared_files(images: ImageStatistics, paths: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return (image, path) where a file holds the very bytes of one of the images.

    Only files of a length that occurs among the images are read.
    """
    known = dict(zip(images.digests, images.paths, strict=True))
    lengths = {length for path in images.paths if (length := _length(path)) is not None}
    same = []
    for path in paths:
        if _length(path) in lengths:
            with suppress(OSError):
                image = known.get(sha256_file(path))
                if image is not None:
                    same.append((image, path))
    return same


def _length(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def differences(
    first: ImageStatistics, second: ImageStatistics, *, least: float, seed: int = 0
) -> list[Difference]:
    """Return the traits in which two sets differ, most different first.

    Args:
        first, second: the sets; images that show nothing are left out.
        least: distance below which a difference does not matter, however sure it is.
        seed: of the random halves.
    """
    sets = [images.traits[~images.blank] for images in (first, second)]
    if not all(map(len, sets)):
        return []
    pooled = np.concatenate(sets)
    labels = np.arange(len(pooled)) < len(sets[0])
    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.tile(labels, (_SPLITS, 1)), axis=1)
    distances, chance = [], np.zeros(_SPLITS)
    for values in pooled.T:
        real, *random = _distances(values, np.concatenate([labels[None], drawn]))
        distances.append(float(real))
        chance = np.maximum(chance, random)
    noise = float(np.percentile(chance, _LEVEL))
    found = [
        Difference(trait, distance, noise, *(float(np.median(part[:, place])) for part in sets))
        for place, (trait, distance) in enumerate(zip(TRAITS, distances, strict=True))
        if distance > max(noise, least)
    ]
    return sorted(found, key=lambda difference: -difference.distance)


def _distances(values: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the Kolmogorov-Smirnov distance of each labelling [n, values] into two sets."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    last = np.append(ordered[1:] > ordered[:-1], np.True_)  # equal values stand or fall together
    chosen = labels[:, order]
    below = chosen.cumsum(axis=1) / chosen.sum(axis=1, keepdims=True)
    others = (~chosen).cumsum(axis=1) / (~chosen).sum(axis=1, keepdims=True)
    apart: NDArray[np.float64] = np.abs(below - others)[:, last].max(axis=1)
    return apart


def spread_out(paths: Sequence[Path], most: int) -> Iterator[Path]:
    """Yield at most so many of the paths, evenly spread over them."""
    count = min(most, len(paths))
    for place in range(count):
        yield paths[place * len(paths) // count]
