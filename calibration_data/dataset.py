"""Training scenes as flat arrays: drawn once in parallel, then read from a cache file."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scenes import SIZE, Floats, Scene, draw_scene

JPEG_QUALITY = 85
TRAINING_SEED, CALIBRATION_SEED, VALIDATION_SEED = 11, 22, 33
MOST_BOXES = 8
"""Row length of the padded annotations; a scene has at most seven parts."""


@dataclass(frozen=True)
class Scenes:
    """Drawn scenes, padded to one shape."""

    images: NDArray[np.uint8]
    """uint8 [n, 3, SIZE, SIZE], RGB."""
    boxes: Floats
    """float32 [n, MOST_BOXES, 4], ltrb in pixels, zeros where there is none."""
    labels: NDArray[np.int64]
    """int64 [n, MOST_BOXES], -1 where there is none."""


def encode(scene: Scene) -> bytes:
    """Return the scene's image as JPEG bytes."""
    done, data = cv2.imencode(".jpg", scene.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG image")
    return data.tobytes()


def draw_row(seed: int, index: int) -> tuple[NDArray[np.uint8], Floats, NDArray[np.int64]]:
    """Draw one scene as one row of `Scenes`, through JPEG as the validation images are."""
    cv2.setNumThreads(1)
    scene = draw_scene(seed, index)
    decoded = cv2.imdecode(np.frombuffer(encode(scene), np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise RuntimeError("OpenCV could not decode its own JPEG image")
    boxes = np.zeros((MOST_BOXES, 4), np.float32)
    labels = np.full(MOST_BOXES, -1, np.int64)
    boxes[: len(scene.boxes)], labels[: len(scene.labels)] = scene.boxes, scene.labels
    planes = np.ascontiguousarray(decoded[..., ::-1].transpose(2, 0, 1), dtype=np.uint8)
    return planes, boxes, labels


def draw_scenes(seed: int, count: int, workers: int) -> Scenes:
    """Draw scenes 0..count-1 of a series."""
    scenes = Scenes(
        np.empty((count, 3, SIZE, SIZE), np.uint8),
        np.empty((count, MOST_BOXES, 4), np.float32),
        np.empty((count, MOST_BOXES), np.int64),
    )
    with ProcessPoolExecutor(workers) as pool:
        rows = pool.map(partial(draw_row, seed), range(count), chunksize=50)
        for at, (image, boxes, labels) in enumerate(rows):
            scenes.images[at], scenes.boxes[at], scenes.labels[at] = image, boxes, labels
    return scenes


def load_scenes(cache: Path, seed: int, count: int, workers: int) -> Scenes:
    """Return `draw_scenes`, from the cache folder when it was drawn before."""
    folder = cache / f"scenes-{seed}-{count}"
    names = ("images", "boxes", "labels")
    if not folder.is_dir():
        drawn = draw_scenes(seed, count, workers)
        partial_folder = folder.with_suffix(".part")
        partial_folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            np.save(partial_folder / f"{name}.npy", getattr(drawn, name))
        partial_folder.rename(folder)
    return Scenes(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in names))
