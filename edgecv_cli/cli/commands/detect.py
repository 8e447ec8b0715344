"""``edgecv detect``: find objects in pictures and videos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.detect import DetectConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: DetectConfig, session: Session) -> None:
    """Detect; with ``--json`` each frame goes out as it is done, else the first ones are shown."""
    from edgecv_cli.cli.render.detect import FirstFrames, render
    from edgecv_cli.stages.detect import run_detect

    shown = FirstFrames()
    emit = session.streams.emit if session.streams.json_wanted else shown.emit
    summary = run_detect(config, session.context, emit=emit)
    session.show(render(summary, shown))


COMMAND = Command(
    config=DetectConfig,
    execute=execute,
    help=(
        "Run MODEL on images, folders, quoted patterns and video files. With -o DIR the results "
        "are saved: annotated pictures and videos, JSON lines, COCO, CSV or YOLO text. With "
        "--json one line a frame goes to stdout, and a summary last."
    ),
    examples=(
        "edgecv detect yolox.onnx street.jpg",
        "edgecv detect int8.onnx images/ -o found/ --conf 0.4 --classes person,car",
        "edgecv detect int8.onnx drive.mp4 -o found/ --save video,csv",
        "edgecv detect int8.onnx '**/*.png' --json",
    ),
)
