"""What convert-trt checks: the model that was named, or its int8 form made on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.convert_trt import ConvertTrtConfig
from edgecv_cli.core.context import Context
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.quantized import is_quantized
from edgecv_cli.stages.converting.int8_form import make_int8, require_calibration
from edgecv_cli.stages.quantize_result import QuantizeResult


@dataclass(frozen=True)
class TrtSource:
    """A model to check and build.

    Attributes:
        given: the model that was named.
        artifact: the same, or its int8 form.
        quantized: how that was made, if it was made here.
    """

    given: Artifact
    artifact: Artifact
    quantized: QuantizeResult | None = None

    def spec(self, config: ConvertTrtConfig) -> DetectorSpec:
        """Return how it is fed and read; an int8 form may have a threshold of its own."""
        overrides = config.spec if self.quantized is None else None
        return self.artifact.detector(overrides, input_size=config.input_size).spec


def read_source(config: ConvertTrtConfig, folder: Path, context: Context) -> TrtSource:
    """Open the model, and quantize it for TensorRT where int8 of a float model is asked for.

    Args:
        config: what was asked for.
        folder: for the int8 form.
        context: progress and cancellation.

    Raises:
        GateNotMetError: no int8 form met the gates of quantize; with its result.
        UsageError: int8 is asked for, and nothing says how.
        ModelError, DataError, EngineError: an input can't be used.
    """
    given = Artifact.open(config.model)
    if config.precision == "int8":
        require_calibration(
            given,
            quantized=is_quantized(given.model),
            calibration=config.calibration,
            target="tensorrt",
        )
    if config.calibration is None:
        return TrtSource(given, given)
    path = folder / "int8.onnx"
    made = make_int8(
        config,
        path,
        context,
        target="tensorrt",
        images=config.calibration_images,
        max_drop=config.drop_gate,
    )
    return TrtSource(given, Artifact.open(path), made)
