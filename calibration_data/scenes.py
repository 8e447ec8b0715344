"""Draw a scene of industrial parts from (seed, index): the image and its boxes.

Only numpy and OpenCV. OpenCV 5 draws on 8-bit canvases only, so shapes are drawn as 8-bit masks
and blended in float.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from parts import CLASSES, DRAWERS, NEUTRAL, Part, Points

SIZE = 256
"""Side of the square image, pixels."""
SMALLEST, LARGEST = 18.0, 110.0
"""Longest side of a part, pixels; drawn log-uniformly between the two."""
VISIBLE = 0.45
"""A part is annotated when at least this share of its silhouette can be seen."""

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

# BGR base colours: steel, zinc, brass, copper, black oxide, red paint, blue paint
FINISHES = np.array(
    [
        [150, 150, 150], [190, 180, 170], [70, 160, 190], [70, 100, 170],
        [55, 52, 50], [50, 50, 160], [150, 90, 50],
    ],
    dtype=np.float32,
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """One drawn image with what can be seen in it."""

    image: Image
    """uint8 [SIZE, SIZE, 3], BGR."""
    boxes: Floats
    """float32 [n, 4], (left, top, right, bottom) around the visible pixels, in pixels."""
    labels: NDArray[np.int64]
    """int64 [n], index into CLASSES."""
    areas: Floats
    """float32 [n], visible silhouette in pixels."""


@dataclass(frozen=True)
class Placed:
    """A part on the canvas: where its unit frame lands, and its class."""

    part: Part
    label: int
    matrix: Points
    """float64 [2, 3], unit frame to pixels."""
    scale: float
    """Pixels for one unit-frame length."""


def to_pixels(points: Points, matrix: Points) -> NDArray[np.int32]:
    """Map unit-frame points to the fixed-point pixels (4 fractional bits) that OpenCV draws."""
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return np.round(moved * 16).astype(np.int32)


def fill(canvas: Image, points: Points, matrix: Points, tone: int) -> None:
    """Fill one anti-aliased polygon of a placed part."""
    cv2.fillPoly(canvas, [to_pixels(points, matrix)], [tone], cv2.LINE_AA, 4)


def noise(rng: np.random.Generator, octaves: tuple[int, ...]) -> Floats:
    """Sum smooth random fields of the given cell counts; float32 [SIZE, SIZE] in about -1..1."""
    total = np.zeros((SIZE, SIZE), np.float32)
    for cells in octaves:
        grid = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        total += cv2.resize(grid, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) / len(octaves)
    return total


def stripes(rng: np.random.Generator) -> Floats:
    """Return a sinusoid of random pitch and direction; float32 [SIZE, SIZE] in -1..1."""
    angle, pitch = rng.uniform(0, np.pi), rng.uniform(6, 60)
    ys, xs = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    wave = np.sin((xs * np.cos(angle) + ys * np.sin(angle)) * (2 * np.pi / pitch))
    return np.asarray(np.sign(wave) if rng.random() < 0.3 else wave, dtype=np.float32)


def background(rng: np.random.Generator) -> Floats:
    """Draw a work surface: two tones mixed by noise, stripes or brushing; float32 [S, S, 3]."""
    level = rng.uniform(40, 200)
    tint = rng.normal(0, 12, 3)
    kind = rng.random()
    if kind < 0.45:
        field = noise(rng, (3, 7, 17, 41))
    elif kind < 0.75:
        field = 0.6 * noise(rng, (3, 9, 31)) + 0.5 * stripes(rng)
    else:
        grain = rng.normal(0, 1.6, (SIZE, SIZE)).astype(np.float32)
        brushed = cv2.blur(grain, (25, 1))
        field = (brushed.T if rng.random() < 0.5 else brushed) + 0.4 * noise(rng, (2, 5))
    swing = rng.uniform(10, 45) * (1 + rng.normal(0, 0.15, 3))
    colour = (level + tint).astype(np.float32)
    return np.asarray(colour + field[..., None] * swing.astype(np.float32), dtype=np.float32)


def clutter(rng: np.random.Generator, canvas: Image) -> None:
    """Draw what is not a part on the canvas, in place: discs, bars, lines, marks, text."""
    for _ in range(int(rng.integers(0, 7))):
        x, y = (int(v) for v in rng.integers(0, SIZE, 2))
        reach = int(np.exp(rng.uniform(np.log(8), np.log(50))))
        colour = [int(v) for v in np.clip(rng.uniform(30, 220) + rng.normal(0, 20, 3), 0, 255)]
        kind = int(rng.integers(6))
        angle = rng.uniform(0, 360)
        if kind == 0:
            cv2.circle(canvas, (x, y), reach // 2, colour, -1, cv2.LINE_AA)
        elif kind == 1:
            rect = ((float(x), float(y)), (float(reach), reach * rng.uniform(0.15, 0.9)), angle)
            cv2.fillPoly(canvas, [cv2.boxPoints(rect).astype(np.int32)], colour, cv2.LINE_AA)
        elif kind == 2:
            end = (x + int(2 * reach * np.cos(angle)), y + int(2 * reach * np.sin(angle)))
            cv2.line(canvas, (x, y), end, colour, int(rng.integers(1, 5)), cv2.LINE_AA)
        elif kind == 3:
            text = "".join(chr(c) for c in rng.integers(48, 91, int(rng.integers(2, 7))))
            scale = rng.uniform(0.3, 1.0)
            cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1)
        elif kind == 4:
            spots = np.array([x, y]) + rng.normal(0, reach / 3, (int(rng.integers(3, 7)), 2))
            cv2.fillPoly(canvas, [cv2.convexHull(spots.astype(np.int32))], colour, cv2.LINE_AA)
        else:
            axes = (reach // 2, max(2, int(reach * rng.uniform(0.2, 0.5))))
            cv2.ellipse(canvas, (x, y), axes, angle, 0, rng.uniform(120, 300), colour, 2)


def place(rng: np.random.Generator, taken: list[tuple[float, float, float]]) -> Placed:
    """Choose a part, its size, turn, squash and a centre that mostly keeps clear of `taken`."""
    label = int(rng.integers(len(CLASSES)))
    scale = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))))
    x = y = 0.0
    for _ in range(12):
        x, y = (float(v) for v in rng.uniform(6, SIZE - 6, 2))
        if all(np.hypot(x - a, y - b) > 0.38 * (scale + c) for a, b, c in taken):
            break
    taken.append((x, y, scale))
    angle, tilt = rng.uniform(0, 2 * np.pi, 2)
    squash = rng.uniform(0.6, 1.0)
    # squash along a random direction: what a camera that looks down at a slant does
    lean = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = lean @ np.diag([1.0, squash]) @ lean.T @ turn * scale
    return Placed(DRAWERS[CLASSES[label]](rng), label, np.column_stack([linear, [x, y]]), scale)


def silhouette(placed: Placed, pad: int = 0) -> Image:
    """Return the part's coverage, uint8 [S + 2 pad, S + 2 pad], holes open."""
    mask = np.zeros((SIZE + 2 * pad, SIZE + 2 * pad), np.uint8)
    matrix = placed.matrix + np.array([[0, 0, pad], [0, 0, pad]])
    fill(mask, placed.part.outline, matrix, 255)
    for hole in placed.part.holes:
        fill(mask, hole, matrix, 0)
    return mask


def surface(rng: np.random.Generator, placed: Placed, mask: Image, under: float) -> Floats:
    """Shade a part: finish, facets, a bevel lit from one side; float32 [S, S, 3]."""
    shade = np.full((SIZE, SIZE), NEUTRAL, np.uint8)
    for facet in placed.part.facets:
        fill(shade, facet.polygon, placed.matrix, facet.tone)
    for stroke in placed.part.strokes:
        line = to_pixels(stroke.line, placed.matrix)
        width = max(1, round(stroke.width * placed.scale))
        cv2.polylines(shade, [line], False, [stroke.tone], width, cv2.LINE_AA, 4)
    colour = FINISHES[rng.integers(len(FINISHES))] * np.float32(rng.uniform(0.7, 1.25))
    # a part of the surface's own brightness would be seen by nobody: push it away
    gap = float(colour.mean()) - under
    if abs(gap) < 22:
        colour = colour + np.float32(np.copysign(30, gap))
    relief = cv2.GaussianBlur(mask, (0, 0), max(0.8, placed.scale / 40)).astype(np.float32)
    light = rng.uniform(0, 2 * np.pi)
    slope_x = cv2.Sobel(relief, cv2.CV_32F, 1, 0) * np.float32(np.cos(light))
    slope_y = cv2.Sobel(relief, cv2.CV_32F, 0, 1) * np.float32(np.sin(light))
    bevel = np.clip((slope_x + slope_y) * np.float32(0.1), -50, 50)
    lit = shade.astype(np.float32) / NEUTRAL
    grain = noise(rng, (5, 23)) * np.float32(rng.uniform(0, 25))
    return np.asarray(lit[..., None] * colour + (bevel + grain)[..., None], dtype=np.float32)


def cast_shadow(rng: np.random.Generator, canvas: Floats, mask: Image, scale: float) -> None:
    """Darken the canvas beside a part, in place."""
    dx, dy = rng.normal(0, 0.05 * scale + 1, 2)
    shift = np.array([[1, 0, dx], [0, 1, dy]])
    soft = cv2.warpAffine(mask, shift, (SIZE, SIZE))
    soft = cv2.GaussianBlur(soft, (0, 0), rng.uniform(1, 1.5 + scale / 25))
    canvas *= 1 - soft[..., None].astype(np.float32) * np.float32(rng.uniform(0, 0.6) / 255)


def occlude(rng: np.random.Generator, canvas: Floats, owner: NDArray[np.int16]) -> None:
    """Lay a strip or a blob over the scene, in place; the pixels lose their owner."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    x, y = (float(v) for v in rng.uniform(20, SIZE - 20, 2))
    angle = rng.uniform(0, 360)
    if rng.random() < 0.5:
        strip = ((x, y), (rng.uniform(60, 220), rng.uniform(4, 14)), angle)
        cv2.fillPoly(mask, [cv2.boxPoints(strip).astype(np.int32)], [255], cv2.LINE_AA)
    else:
        axes = (int(rng.integers(6, 24)), int(rng.integers(6, 24)))
        cv2.ellipse(mask, (int(x), int(y)), axes, angle, 0, 360, [255], -1, cv2.LINE_AA)
    colour = (rng.uniform(30, 210) + rng.normal(0, 20, 3)).astype(np.float32)
    alpha = mask[..., None].astype(np.float32) / 255
    canvas += alpha * (colour + noise(rng, (4, 19))[..., None] * 20 - canvas)
    owner[mask > 127] = -1


def degrade(rng: np.random.Generator, canvas: Floats) -> Image:
    """Apply light, contrast, blur and sensor noise; float [S, S, 3] in, uint8 out."""
    ys, xs = np.mgrid[:SIZE, :SIZE].astype(np.float32) / SIZE - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    ramp = 1 + np.float32(rng.uniform(0, 0.6)) * (
        xs * np.float32(np.cos(angle)) + ys * np.float32(np.sin(angle))
    )
    contrast, offset = np.float32(rng.uniform(0.65, 1.15)), np.float32(rng.normal(0, 12))
    shot = (canvas * ramp[..., None] - 128) * contrast + 128 + offset
    kind = rng.random()
    if kind < 0.35:
        shot = cv2.GaussianBlur(shot, (0, 0), rng.uniform(0.4, 1.3))
    elif kind < 0.5:
        length = int(rng.integers(3, 6))
        kernel = np.zeros((length, length), np.float32)
        slope = int(rng.integers(4))
        if slope < 2:
            kernel[length // 2] = 1 / length
        else:
            kernel[np.arange(length), np.arange(length)] = 1 / length
        turned = np.ascontiguousarray(kernel.T if slope == 1 else np.flipud(kernel))
        shot = cv2.filter2D(shot, -1, turned)
    grain = rng.standard_normal((SIZE, SIZE, 3), np.float32) * np.float32(rng.uniform(0.5, 6))
    whole: Image = np.clip(np.round(shot + grain), 0, 255).astype(np.uint8)
    return whole


def annotate(
    placed: list[Placed], owner: NDArray[np.int16]
) -> tuple[list[list[int]], list[int], list[int]]:
    """Return the boxes (ltrb, pixels), labels and visible areas of the parts that can be seen."""
    boxes: list[list[int]] = []
    labels: list[int] = []
    areas: list[int] = []
    for number, item in enumerate(placed):
        seen = owner == number
        # the margin takes in what the image border cuts off, so that it counts as hidden
        whole = np.count_nonzero(silhouette(item, pad=64) > 127)
        area = int(np.count_nonzero(seen))
        if area == 0 or area < VISIBLE * whole:
            continue
        columns, rows = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
        boxes.append([int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1])
        labels.append(item.label)
        areas.append(area)
    return boxes, labels, areas


def draw_scene(seed: int, index: int) -> Scene:
    """Draw scene `index` of the series `seed`; the same pair gives the same scene."""
    rng = np.random.default_rng((seed, index))
    base = np.clip(background(rng), 0, 255).astype(np.uint8)
    clutter(rng, base)
    canvas = base.astype(np.float32)
    owner = np.full((SIZE, SIZE), -1, np.int16)
    taken: list[tuple[float, float, float]] = []
    placed: list[Placed] = []
    for number in range(int(rng.integers(2, 8))):
        item = place(rng, taken)
        mask = silhouette(item)
        cast_shadow(rng, canvas, mask, item.scale)
        covered = mask > 127
        under = float(canvas[covered].mean()) if covered.any() else 0.0
        alpha = mask[..., None].astype(np.float32) / 255
        canvas += alpha * (surface(rng, item, mask, under) - canvas)
        owner[covered] = number
        placed.append(item)
    for _ in range(int(rng.integers(0, 3))):
        occlude(rng, canvas, owner)
    boxes, labels, areas = annotate(placed, owner)
    return Scene(
        image=degrade(rng, canvas),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(labels, np.int64),
        areas=np.array(areas, np.float32),
    )
