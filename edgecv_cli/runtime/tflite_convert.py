"""From ONNX to .tflite, in the side environment of target tflite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.scratch import scratch
from edgecv_cli.core.side_environment import SideEnvironment, require_environment, run_script

TFLITE = SideEnvironment(
    "tflite",
    requirements=(
        "onnx2tf==2.6.9",
        "ai-edge-quantizer==0.10.0",
        "ai-edge-litert==2.3.0",
        "absl-py==2.5.1",
        "backports.strenum==1.2.8",
        "flatbuffers==25.12.19",
        "h5py==3.14.0",
        "immutabledict==4.3.1",
        "litert-lm-builder==0.18.1",
        "markdown-it-py==4.3.0",
        "mdurl==0.1.2",
        "ml_dtypes==0.5.4",
        "mpmath==1.3.0",
        "numpy==2.2.6",
        "onnx-ir==1.1.0",
        "onnx==1.20.1",
        "onnxoptimizer==0.4.2",
        "onnxruntime==1.26.0",
        "onnxscript==0.6.2",
        "onnxsim==0.6.5",
        "opencv-python==4.13.0.92",
        "packaging==26.3",
        "protobuf==7.35.1",
        "psutil==5.9.5",
        "Pygments==2.21.0",
        "rich==15.0.0",
        "scipy==1.18.1",
        "setuptools==81.0.0",
        "sne4onnx==2.0.1",
        "sng4onnx==2.0.1",
        "sympy==1.14.0",
        "tomli==2.5.0",
        "tqdm==4.67.1",
        "typing_extensions==4.16.0",
    ),
    oldest=(3, 12),
    newest=(3, 13),
)
"""Converter and quantizer; what they need stands here too, for nothing is resolved on the way."""
DECIDING = ("onnx2tf", "ai-edge-quantizer")
"""Distributions whose version decides what a file holds."""
WHY = "convert-tflite"
_WORKER = Path(__file__).with_name("tflite_worker.py")
_SECONDS = 3600.0


def require_converter() -> None:
    """Refuse before the work where the side environment is not installed.

    Raises:
        MissingDependencyError: with the line that installs it.
    """
    require_environment(TFLITE, WHY)


def converter_versions() -> dict[str, str]:
    """Return what decides a file's content, distribution to version."""
    pins = dict(need.split("==") for need in TFLITE.requirements)
    return {name: pins[name] for name in DECIDING}


def convert(onnx: Path, tflite: Path, context: Context) -> None:
    """Write a float32 .tflite file.

    Raises:
        MissingDependencyError: the side environment is not installed.
        ChildFailureError: the converter failed.
        ModelError: it ended well and wrote nothing.
    """
    _job({"do": "convert", "onnx": str(onnx), "tflite": str(tflite)}, tflite, context)


def halve(source: Path, tflite: Path, context: Context) -> None:
    """Write a copy of a float32 file whose weights are stored as float16.

    Raises:
        MissingDependencyError, ChildFailureError, ModelError: as :func:`convert`.
    """
    _job({"do": "halve", "float": str(source), "tflite": str(tflite)}, tflite, context)


def quantize_full(
    source: Path,
    samples: Path,
    ranges: Mapping[str, tuple[float, float]],
    tflite: Path,
    context: Context,
) -> None:
    """Write a copy of a float32 file in int8 throughout.

    Args:
        source: the float32 file.
        samples: folder of ``*.npy``, one input each, as the file takes it.
        ranges: activation tensor of the file -> [low, high]; others get the extremes of the
            samples.
        tflite: what is written.
        context: cancels it.

    Raises:
        MissingDependencyError, ChildFailureError, ModelError: as :func:`convert`.
    """
    with scratch() as folder:
        bounds = folder / "ranges.json"
        bounds.write_text(json.dumps(dict(ranges)), encoding="utf-8")
        job = {
            "do": "quantize",
            "float": str(source),
            "samples": str(samples),
            "ranges": str(bounds),
            "tflite": str(tflite),
        }
        _job(job, tflite, context)


def _job(job: dict[str, str], made: Path, context: Context) -> None:
    with scratch() as folder:
        file = folder / "job.json"
        file.write_text(json.dumps(job), encoding="utf-8")
        name = f"{WHY} ({job['do']})"
        run_script(TFLITE, _WORKER, [str(file)], context, name=name, seconds=_SECONDS)
    if not made.is_file() or not made.stat().st_size:
        raise ModelError(
            f"the converter ended well and wrote no file ({job['do']})",
            remedy="--decode outside leaves decoding to edgecv, and the converter less to do",
        )
