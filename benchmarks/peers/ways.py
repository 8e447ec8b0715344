"""Every way to make a detector smaller that is compared, each one function."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import SPEC_KEY
from edgecv_cli.artifact.sidecar import sidecar_path
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError
from edgecv_cli.core.store import FolderStore
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.io import serialize, with_metadata
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.opset import at_least
from edgecv_cli.graph.tail import find_tail
from edgecv_cli.inference.calibration import CalibrationFeed
from edgecv_cli.measure.hardware import has_vnni
from edgecv_cli.media.images import open_images
from edgecv_cli.pipeline.stock import stock_quantize
from edgecv_cli.stages.quantize import quantize
from edgecv_cli.stages.quantize_result import QuantizeResult

SETTINGS = (
    "--prefer accuracy",
    "--precision auto --max-drop 1%",
    "--precision auto --max-drop 3%",
    "--target openvino --precision auto --max-drop 1%",
)
_STORE_BYTES = 2**30
ORT, OPENVINO, OPENVINO_BF16 = "onnxruntime", "openvino", "openvino:cpu:bf16"


@dataclass(frozen=True)
class Job:
    """One model, and what every way may use: calibration images and the half to choose on."""

    artifact: Artifact
    spec: DetectorSpec
    calibration: Path
    images: int
    choice: Path
    threads: int

    @property
    def paths(self) -> tuple[Path, ...]:
        """The calibration images."""
        return tuple(open_images(self.calibration, self.images).paths)

    def feeds(self) -> list[dict[str, NDArray[Any]]]:
        """The calibration images as this model takes them, all at once as NNCF wants them."""
        feed = CalibrationFeed(self.paths, self.artifact.facts().inputs, self.spec, Context())
        return [{name: array.copy() for name, array in one.items()} for one in feed]


Make = Callable[[Job, Path], str]
"""Writes the file and returns what is worth knowing of it."""


@dataclass(frozen=True)
class Way:
    """One row of the table.

    Attributes:
        key: what its file is called.
        label: what the table calls it.
        engine: what runs it, as ``--engine`` takes it.
        make: writes the file; None runs the original.
    """

    key: str
    label: str
    engine: str
    make: Make | None = None
    suffix: str = ".onnx"


def ways(settings: tuple[str, ...]) -> tuple[Way, ...]:
    """Return all rows, the baseline first."""
    ours = [_ours(text) for text in settings]
    return (
        Way("fp32", "fp32", ORT),
        Way("fp32-simplified", "fp32, simplified", ORT, simplified),
        *(way for way in ours if way.engine == ORT),
        Way("ort-float-tail", "quantize_static, float tail", ORT, float_tail),
        Way("ort-stock", "quantize_static, options as they are", ORT, stock),
        Way("nncf-onnx", "NNCF ONNX, mixed", ORT, nncf_onnx),
        Way("openvino-fp32", "fp32", OPENVINO),
        Way("openvino-bf16", "bf16", OPENVINO_BF16),
        Way("nncf-openvino", "NNCF OpenVINO, mixed", OPENVINO, nncf_openvino, ".xml"),
        *(way for way in ours if way.engine != ORT),
    )


def _ours(text: str) -> Way:
    words = shlex.split(text)
    if len(words) % 2 or any(not flag.startswith("--") for flag in words[::2]):
        raise SystemExit(f"--setting '{text}': write flags with a value each")
    options = {
        flag[2:].replace("-", "_"): value
        for flag, value in zip(words[::2], words[1::2], strict=True)
    }
    key = "edgecv-" + "-".join("".join(filter(str.isalnum, word)) for word in words)

    def make(job: Job, target: Path) -> str:
        return edgecv(job, target, options)

    return Way(key, f"**edgecv** `{text}`", _engine_of(options), make)


def _engine_of(options: dict[str, str]) -> str:
    return options.get("engine", OPENVINO if options.get("target") == "openvino" else ORT)


def edgecv(job: Job, target: Path, options: dict[str, str]) -> str:
    """Quantize with edgecv; what its gates refuse is kept, and said.

    Settings share what they find out about a model, as the command does by the user's cache.
    """
    saved = target.with_suffix(".saved.onnx")
    config = QuantizeConfig.model_validate(
        {
            "model": job.artifact.path,
            "output": saved,
            "calibration": job.calibration,
            "images": job.images,
            "data": job.choice,
            "threads": job.threads,
            "keep_rejected": target,
            "force": True,
            **options,
        }
    )
    try:
        result = quantize(
            config, Context(store=FolderStore(target.parent / "search", _STORE_BYTES))
        )
    except GateNotMetError as refused:
        return f"refused by its gates, measured nonetheless: {refused.problem}"
    saved.replace(target)
    sidecar_path(saved).unlink()
    return _said(result)


def _said(result: QuantizeResult) -> str:
    words = [result.precision]
    if result.int8_macs_share is not None:
        words.append(f"{100 * result.int8_macs_share:.0f} % of the MACs in int8")
    words += [word for word in (result.placement, result.estimator, *result.corrections) if word]
    return ", ".join(words)


def simplified(job: Job, target: Path) -> str:
    """The float model as edgecv normalises it: what a fair peer starts from."""
    target.write_bytes(serialize(normalise(job.artifact.model)))
    return ""


def stock(job: Job, target: Path) -> str:
    """``quantize_static`` as it comes."""
    stock_quantize(job.artifact, job.spec, job.paths, target, Context())
    return ""


def float_tail(job: Job, target: Path) -> str:
    """``quantize_static`` at its best: U8S8 per channel, moving average, decoding in float."""
    from onnxruntime.quantization import QuantFormat, QuantType

    source = target.with_suffix(".source.onnx")
    model = normalise(job.artifact.model)
    for place, node in enumerate(model.graph.node):
        node.name = f"n{place}"
    source.write_bytes(serialize(model))
    tail = [node.name for node in find_tail(model.graph).nodes]
    stock_quantize(
        Artifact.open(source),
        job.spec,
        job.paths,
        target,
        Context(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=not has_vnni(),  # as ONNX Runtime's documentation advises
        nodes_to_exclude=tail,
        extra_options={"CalibMovingAverage": True},
    )
    source.unlink()
    bits = 8 if has_vnni() else 7
    return f"{len(tail)} nodes of the decode tail left in float, weights of {bits} bits"


def nncf_onnx(job: Job, target: Path) -> str:
    """NNCF's ONNX backend."""
    model = _nncf(at_least(job.artifact.model, 13), job)
    target.write_bytes(serialize(with_metadata(model, {SPEC_KEY: job.spec.dumps()})))
    return ""


def nncf_openvino(job: Job, target: Path) -> str:
    """NNCF's OpenVINO backend."""
    import openvino as ov

    model = _nncf(ov.Core().read_model(job.artifact.path), job)
    model.set_rt_info(job.spec.dumps(), ["framework", SPEC_KEY])
    ov.save_model(model, target, compress_to_fp16=False)
    return ""


def _nncf(model: Any, job: Job) -> Any:
    os.environ["NNCF_CI"] = "1"  # its switch for no telemetry; read when it is imported
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf.quantize(
        model,
        nncf.Dataset(job.feeds()),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=job.images,
    )
