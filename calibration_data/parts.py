"""Outlines of the six industrial parts, each drawn from random proportions.

A part lives in a unit frame: its longest side is about 1, its centre is the origin. The scene
generator scales, turns and squashes it, so nothing here knows about pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""Vertices, shape [n, 2] as (x, y), in the unit frame."""

NEUTRAL = 128
"""Tone of an unshaded surface; facets and strokes are darker or lighter than this."""


@dataclass(frozen=True)
class Facet:
    """A filled polygon of another tone (0..255) on the part's surface."""

    polygon: Points
    tone: int


@dataclass(frozen=True)
class Stroke:
    """An open polyline of another tone; `width` is in unit-frame lengths."""

    line: Points
    tone: int
    width: float


@dataclass(frozen=True)
class Part:
    """Silhouette, through holes and surface detail of one part."""

    outline: Points
    holes: tuple[Points, ...] = ()
    facets: tuple[Facet, ...] = ()
    strokes: tuple[Stroke, ...] = ()


def polar(radii: float | Points, angles: Points) -> Points:
    """Return the points at `radii` and `angles` (radians), shape [n, 2]."""
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def circle(radius: float, centre: tuple[float, float] = (0.0, 0.0)) -> Points:
    """Return a 48-gon that passes for a circle, shape [48, 2]."""
    ring: Points = polar(radius, np.linspace(0, 2 * np.pi, 48, endpoint=False))
    ring += centre
    return ring


def regular(sides: int, radius: float) -> Points:
    """Return a regular polygon, shape [sides, 2]."""
    return polar(radius, np.arange(sides) * 2 * np.pi / sides)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """Return an axis-aligned rectangle, shape [4, 2]."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def gear(rng: np.random.Generator) -> Part:
    """Draw a spur gear: trapezoidal teeth, a bore, sometimes lightening holes."""
    teeth = int(rng.integers(8, 19))
    root = rng.uniform(0.36, 0.42)
    land, flank = rng.uniform(0.16, 0.24), rng.uniform(0.24, 0.32)
    offsets = np.array([-flank, -land, land, flank])
    angles = (np.arange(teeth)[:, None] + offsets[None]).ravel() * 2 * np.pi / teeth
    outline = polar(np.tile([root, 0.5, 0.5, root], teeth), angles)
    bore = rng.uniform(0.08, 0.2)
    holes = [circle(bore)]
    facets = [Facet(circle(root * 0.88), int(rng.integers(100, 160)))]
    if bore < 0.13 and rng.random() < 0.5:
        count, reach = int(rng.integers(3, 7)), (bore + root * 0.88) / 2
        radius = min((root * 0.88 - bore) * 0.32, reach * np.pi / count * 0.7)
        holes += [circle(radius, (float(x), float(y))) for x, y in regular(count, reach)]
    elif rng.random() < 0.6:
        facets.append(Facet(circle(min(bore * 1.6, root * 0.8)), int(rng.integers(90, 170))))
    return Part(outline, tuple(holes), tuple(facets))


def hexnut(rng: np.random.Generator) -> Part:
    """Draw a hexagon nut from above: chamfer circle, threaded bore."""
    bore = rng.uniform(0.2, 0.29)
    thread = Stroke(circle(bore * 1.1), int(rng.integers(60, 100)), 0.035)
    chamfer = Facet(circle(0.43), int(rng.integers(140, 175)))
    return Part(regular(6, 0.5), (circle(bore),), (chamfer,), (thread,))


def washer(rng: np.random.Generator) -> Part:
    """Draw a flat washer: one ring, sometimes with an inner chamfer."""
    bore = rng.uniform(0.17, 0.34)
    strokes = []
    if rng.random() < 0.5:
        strokes.append(Stroke(circle((bore + 0.5) / 2), int(rng.integers(100, 165)), 0.03))
    return Part(circle(0.5), (circle(bore),), (), tuple(strokes))


def bolt(rng: np.random.Generator) -> Part:
    """Draw a hexagon bolt from the side: faceted head, blunt shank, threads near the end."""
    head, half = rng.uniform(0.16, 0.24), rng.uniform(0.15, 0.24)
    shank = half * rng.uniform(0.42, 0.58)
    neck = -0.5 + head
    outline = np.array(
        [
            [-0.5, -half * 0.86], [-0.46, -half], [neck, -half], [neck, -shank],
            [0.47, -shank], [0.5, -shank * 0.7], [0.5, shank * 0.7], [0.47, shank],
            [neck, shank], [neck, half], [-0.46, half], [-0.5, half * 0.86],
        ]
    )  # fmt: skip
    facets = (
        Facet(box(-0.5, -half, neck, -half * 0.5), int(rng.integers(85, 115))),
        Facet(box(-0.5, -half * 0.5, neck, half * 0.5), int(rng.integers(145, 180))),
        Facet(box(neck, -shank * 0.35, 0.5, shank * 0.1), int(rng.integers(150, 185))),
    )
    start = rng.uniform(neck + 0.05, 0.15)
    strokes = [
        Stroke(np.array([[x, -shank], [x + 0.015, shank]]), 70, 0.012)
        for x in np.arange(start, 0.48, rng.uniform(0.035, 0.055))
    ]
    return Part(outline, (), facets, tuple(strokes))


def screw(rng: np.random.Generator) -> Part:
    """Draw a wood screw from the side: countersunk or domed head, pitched thread, sharp tip."""
    half = rng.uniform(0.13, 0.21)
    core, crest = half * rng.uniform(0.3, 0.38), half * rng.uniform(0.5, 0.62)
    head = rng.uniform(0.1, 0.15)
    pitch = rng.uniform(0.05, 0.075)
    if rng.random() < 0.5:
        top = np.array([[-0.5, -half], [-0.5 + head, -core]])
    else:
        turn = np.linspace(0.1, 0.5, 5) * np.pi
        dome = np.stack([-0.5 + head * (1 - np.cos(turn)), -half * np.sin(turn)], axis=1)
        top = np.vstack([dome, [[-0.5 + head, -core]]])
    crests = np.arange(-0.5 + head + 0.04, 0.42, pitch)
    taper = np.clip((0.5 - crests) / 0.28, 0.15, 1)
    upper = np.stack([crests, -crest * taper], axis=1)
    roots = np.stack([crests + pitch / 2, -core * taper], axis=1)
    edge = np.vstack([top, np.stack([upper, roots], axis=1).reshape(-1, 2)])
    lower = edge[::-1] * [1, -1]
    outline = np.vstack([edge, [[0.5, 0.0]], lower])
    strokes = [
        Stroke(np.array([[x, -y], [x + pitch / 2, y]]), 75, 0.014)
        for x, y in zip(crests, crest * taper, strict=True)
    ]
    shine = Facet(box(-0.5, -core * 0.7, 0.3, -core * 0.1), int(rng.integers(150, 190)))
    return Part(outline, (), (shine,), tuple(strokes))


def bracket(rng: np.random.Generator) -> Part:
    """Draw an L bracket: two arms of unequal length, one to three holes in each."""
    width, short = rng.uniform(0.2, 0.3), rng.uniform(0.65, 1.0)
    right = -0.5 + short
    outline = np.array(
        [
            [-0.5, -0.5], [-0.5 + width, -0.5], [-0.5 + width, 0.5 - width],
            [right, 0.5 - width], [right, 0.5], [-0.5, 0.5],
        ]
    )  # fmt: skip
    radius = width * rng.uniform(0.18, 0.28)
    axis = -0.5 + width / 2
    holes = [
        circle(radius, (axis, float(y)))
        for y in np.linspace(-0.5 + width / 2, 0.5 - width * 1.3, int(rng.integers(1, 4)))
    ]
    holes += [
        circle(radius, (float(x), 0.5 - width / 2))
        for x in np.linspace(right - width / 2, axis + width, int(rng.integers(1, 3)))
    ]
    fold = Stroke(np.array([[-0.5, 0.5 - width], [-0.5 + width, 0.5 - width]]), 90, 0.02)
    facet = Facet(box(-0.5, 0.5 - width, right, 0.5), int(rng.integers(105, 155)))
    return Part(outline, tuple(holes), (facet,), (fold,))


DRAWERS: dict[str, Callable[[np.random.Generator], Part]] = {
    "gear": gear,
    "hexnut": hexnut,
    "washer": washer,
    "bolt": bolt,
    "bracket": bracket,
    "screw": screw,
}
CLASSES: tuple[str, ...] = tuple(DRAWERS)
