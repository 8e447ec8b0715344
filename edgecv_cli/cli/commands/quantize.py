"""``edgecv quantize``: calibrated int8, saved only if it is good enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.quantize import QuantizeConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: QuantizeConfig, session: Session) -> None:
    """Quantize and show before and after, or only show what each group of layers costs."""
    session.remember()
    if config.sensitivity:
        from edgecv_cli.cli.render.sensitivity import render as render_sensitivity
        from edgecv_cli.stages.sensitivity import sensitivity

        session.run(sensitivity, config, render_sensitivity)
        return
    from edgecv_cli.cli.render.quantize import render
    from edgecv_cli.stages.quantize import quantize

    session.run(quantize, config, render)


COMMAND = Command(
    config=QuantizeConfig,
    execute=execute,
    help=(
        "Quantize MODEL to int8 with calibration images. The result is measured against the "
        "original and saved only if its accuracy and speed pass the gates (else exit 3)."
    ),
    examples=(
        "edgecv quantize yolox.onnx -o int8.onnx --calibration images/",
        "edgecv quantize ssd.onnx -o int8.onnx --calibration images/ --data coco/ --max-drop 1%",
        "edgecv quantize ssd.onnx --calibration images/ --sensitivity",
        "edgecv quantize ssd.onnx -o int8.onnx --plan ssd-plan.json --data coco/",
    ),
)
