"""The int8 form of a float model, made on the way to a format that is built from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.base import CommonConfig
from edgecv_cli.config.common import Target
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.stages.quantize import quantize
from edgecv_cli.stages.quantize_result import QuantizeResult

_SAME = (
    *("model", "calibration", "data", "limit", "input_size", "prefer"),
    *("min_agreement", "spec", "threads", "seed"),
)


def require_calibration(
    given: Artifact, *, quantized: bool, calibration: Path | None, target: Target
) -> None:
    """Refuse int8 of a float model whose ranges nothing tells, and calibrating a quantized one.

    Args:
        given: the model.
        quantized: whether it holds integers already.
        calibration: the images that were named, if any.
        target: what ``edgecv quantize --target`` calls the format.

    Raises:
        UsageError: naming what to type.
    """
    if quantized and calibration is not None:
        raise UsageError(
            f"'{given.path}' is quantized already: there is nothing to calibrate",
            remedy="leave --calibration out, or give the float model that it was made from",
        )
    if not quantized and calibration is None:
        raise UsageError(
            f"'{given.path}' is a float model: int8 needs images to calibrate on",
            remedy=f"add --calibration DIR, or give what `edgecv quantize --target {target}` made",
        )


def make_int8(
    config: CommonConfig, path: Path, context: Context, *, given: Artifact, **more: Any
) -> QuantizeResult:
    """Quantize a model into ``path``, under quantize's own gates.

    Args:
        config: options that are called as quantize calls them are handed on.
        given: the model; where it is not the one that the options name, but a form of it made on
            the way, its spec stands in it.
        path: where the int8 model is written.
        context: progress and cancellation.
        more: further options of quantize: target, images, max_drop.

    Returns:
        What quantize reports, without the path, which is gone when the conversion ends.

    Raises:
        GateNotMetError: no int8 form met the gates; with a ``QuantizeResult``.
        UsageError, ModelError, DataError, EngineError: an input can't be used.
    """
    same = {name: getattr(config, name) for name in _SAME}
    named = same["model"]
    if given.path != named:
        same |= {"model": given.path, "spec": None}
    result = quantize(QuantizeConfig(**same, output=path, **more), context)
    return result.model_copy(update={"saved": None, "model": str(named)})
