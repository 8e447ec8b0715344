"""What convert-trt checks: the model that was named, or its int8 form made on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.convert_trt import ConvertTrtConfig
from edgecv_cli.core.context import Context
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.quantized import is_quantized
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.media.images import open_images
from edgecv_cli.stages.baking import bake
from edgecv_cli.stages.baking_result import BakedInput
from edgecv_cli.stages.converting.int8_form import make_int8, require_calibration
from edgecv_cli.stages.quantize_result import QuantizeResult

_ALL = 100_000


@dataclass(frozen=True)
class TrtSource:
    """A model to check and build.

    Attributes:
        given: the model that was named.
        artifact: the same, its form that takes bytes, or its int8 form.
        quantized: how that was made, if it was made here.
        baked: how it was made to take bytes, if it was.
    """

    given: Artifact
    artifact: Artifact
    quantized: QuantizeResult | None = None
    baked: BakedInput | None = None

    def spec(self, config: ConvertTrtConfig) -> DetectorSpec:
        """Return how it is fed and read; what was made here says so itself."""
        overrides = config.spec if self.artifact is self.given else None
        return self.artifact.detector(overrides, input_size=config.input_size).spec


def read_source(config: ConvertTrtConfig, folder: Path, context: Context) -> TrtSource:
    """Open the model, and quantize it for TensorRT where int8 of a float model is asked for.

    Args:
        config: what was asked for.
        folder: for what is made on the way.
        context: progress and cancellation.

    Raises:
        GateNotMetError: no int8 form met the gates of quantize; with its result. Or the form that
            takes bytes does not find the same.
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
    float_form, baked = given, None
    if config.bake_preprocess:
        spec = given.detector(config.spec, input_size=config.input_size).spec
        baking = bake(config, given, spec, _pictures(config), folder=folder, context=context)
        float_form, baked = baking.artifact, baking.said
    if config.calibration is None:
        return TrtSource(given, float_form, baked=baked)
    path = folder / "int8.onnx"
    made = make_int8(
        config,
        path,
        context,
        given=float_form,
        target="tensorrt",
        images=config.calibration_images,
        max_drop=config.drop_gate,
    )
    return TrtSource(given, Artifact.open(path), made, baked)


def _pictures(config: ConvertTrtConfig) -> list[Path]:
    """Return images to compare detections on: the first folder of those that were named."""
    if config.images is not None or config.calibration is not None:
        folder = config.images or config.calibration
        assert folder is not None
        return list(open_images(folder, config.limit or _ALL).paths)
    if config.data is None:
        return []
    return [item.path for item in open_dataset(config.data, limit=config.limit).items]
