"""``edgecv evaluate``: COCO mAP on labelled images, of one model or of two against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.evaluate import EvaluateConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: EvaluateConfig, session: Session) -> None:
    """Evaluate the detector and show its accuracy."""
    from edgecv_cli.cli.render.evaluate import render
    from edgecv_cli.stages.evaluate import evaluate

    session.run(evaluate, config, render)


COMMAND = Command(
    config=EvaluateConfig,
    execute=execute,
    help=(
        "Measure the accuracy of MODEL (COCO mAP) on labelled images: a folder in COCO's layout "
        "(images/ and instances.json), YOLO's (images/, labels/ and data.yaml) or Pascal VOC's "
        "(JPEGImages/ and Annotations/), or straight its JSON, YAML or list of images. "
        "Post-processing is the same for every model, whatever it carries. --against tests whether "
        "another model differs on the same images; --fail-if makes it a gate for CI: exit code 3."
    ),
    examples=(
        "edgecv evaluate yolox.onnx --data coco/",
        "edgecv evaluate yolov8n.onnx --data yolo/data.yaml",
        "edgecv evaluate int8.onnx --data coco/ --against yolox.onnx --report accuracy.html",
        "edgecv evaluate int8.onnx --data coco/ --limit 100 --fail-if 'map < 0.30' --json",
    ),
)
