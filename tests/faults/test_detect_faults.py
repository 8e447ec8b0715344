"""detect on disks that fill up and when it is stopped: nothing stays, no thread is left."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from clips import write_video
from fakes import FakePredictor, found, loaded

from edgecv_cli.config.detect import DetectConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import InterruptedByUser, OutputError
from edgecv_cli.inference import preview
from edgecv_cli.stages.detect import run_detect

Line = dict[str, Any]


def run(folder: Path, context: Context | None = None, **options: Any) -> Any:
    emit: Callable[[Line], None] | None = options.pop("emit", None)
    config = DetectConfig.from_options(
        model=Path("m.onnx"), sources=[str(folder / "clip.mp4")], output=folder / "out", **options
    )
    hard = FakePredictor([found((2, 4, 22, 24, 0.3, 1), (0, 0, 9, 9, 0.5, 0))])
    return run_detect(config, context or Context(), emit=emit, load=lambda _: loaded(hard))


def workers() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("edgecv-")]


@pytest.mark.parametrize("kind", ["image", "crops", "hard", "yolo"])
def test_full_disk_in_mid_run(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "clip.mp4", frames=8)
    left, really = iter(range(3)), Path.open

    def open_until_full(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if "w" in mode and next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return really(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_until_full)
    with pytest.raises(OutputError, match="No space left") as caught:
        run(tmp_path, save=[kind], hard_rate=6000.0)
    assert "free some space" in caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert workers() == []


def test_stopped_while_a_video_is_written_and_served(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", frames=30)
    context = Context()

    def emit(line: Line) -> None:
        if line["frame"] == 4:
            context.cancel.set()

    with pytest.raises(InterruptedByUser):
        run(tmp_path, context, emit=emit, save=["video", "crops"], serve="0")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert workers() == []


def test_nobody_sees_what_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures, videos, crops, hard frames and the preview have the few colours of a hidden box."""
    write_video(tmp_path / "clip.avi", frames=3)
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    source = tmp_path / "noise.png"
    cv2.imwrite(str(source), noise)
    served: list[np.ndarray] = []
    monkeypatch.setattr(
        preview.Preview, "write", lambda self, result: served.append(result.frame.image)
    )
    rows = [(8, 8, 56, 40, 0.3, 1), (0, 0, 9, 9, 0.9, 0)]
    config = DetectConfig.from_options(
        model=Path("m.onnx"), sources=[str(source)], output=tmp_path / "out",
        save=["image,crops,hard"], blur=["bolt"], serve="0",
    )  # fmt: skip
    summary = run_detect(config, Context(), load=lambda _: loaded(FakePredictor([found(*rows)])))

    def detail(image: np.ndarray) -> float:
        """How much neighbouring pixels differ; a picture's own noise is some 85."""
        return float(np.abs(np.diff(image.astype(int), axis=1)).mean())

    out = tmp_path / "out"
    seen = [cv2.imread(str(out / name))[12:36, 24:52] for name in ("noise.png", "hard/noise.jpg")]
    seen += [cv2.imread(str(out / "crops/bolt/noise_01.jpg"))[4:28, 8:40], served[0][12:36, 12:52]]
    assert detail(noise) > 80
    assert [detail(image) < 20 for image in seen] == [True] * 4
    assert (summary.hidden, summary.kept) == (1, {"crops": 2, "hard": 1})
