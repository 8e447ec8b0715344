"""Write the bundle: the model, how an engine is built of it, and what the engine must give."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import onnx

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.files import sha256_file
from edgecv_cli.core.version import __version__
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.quantized import is_quantized, read_layers
from edgecv_cli.graph.tensorrt.calibration_cache import cache_text, float_form
from edgecv_cli.graph.tensorrt.preflight import preflight
from edgecv_cli.graph.tensorrt.target import DEVICES, Generation, TrtTarget, target_of
from edgecv_cli.graph.tensorrt.trtexec import BuildSettings, placed
from edgecv_cli.stages.trt_bundle.deepstream import config_text, labels_text
from edgecv_cli.stages.trt_bundle.golden import write_golden
from edgecv_cli.stages.trt_bundle.script import CACHE, FLOAT_MODEL, Script

MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
_KIND = "edgecv.trt-bundle/1"
_CARRIED = ("verify.py", "cuda_runtime.py", "engine_layers.py")
_RELEASES = {8: "8.6", 10: "10.3", 11: "11.4"}
# The rest has no kernel of that type, or a slower one where TensorRT may choose.
_LEAST_SHARE = {"int8": 0.8, "fp16": 0.5}
_LEAST_SHARE_CALIBRATED = 0.5


@dataclass(frozen=True)
class Wanted:
    """What a bundle is made of.

    Attributes:
        artifact: the checked model, written already.
        spec: how it is fed and read.
        target: the device and the release that are expected.
        settings: how the engine is built.
        images: pictures of the golden inputs; without any they are drawn.
        threads: of ONNX Runtime.
    """

    artifact: Artifact
    spec: DetectorSpec
    target: TrtTarget
    settings: BuildSettings
    images: Sequence[Path]
    threads: int | None


@dataclass(frozen=True)
class Written:
    """A bundle that was written.

    Attributes:
        files: name to sha256.
        pictures: golden inputs.
        refused: releases of the device whose rules refuse the model, with the reason.
    """

    files: Mapping[str, str]
    pictures: int
    refused: Mapping[str, str]


def write_bundle(wanted: Wanted, folder: Path, scratch: Path, context: Context) -> Written:
    """Fill a folder with everything that the device needs.

    Args:
        wanted: what it is made of.
        folder: an empty folder.
        scratch: for what is not kept.
        context: seed, progress and cancellation.

    Raises:
        EngineError, DataError: the model can't be run here, or a picture can't be read.
    """
    model = wanted.artifact.model
    folder.joinpath("model.onnx").write_bytes(wanted.artifact.path.read_bytes())
    calibrated = _write_calibration(model, folder)
    settings = placed(wanted.settings, wanted.target)
    refused = _refused(model, wanted.target)
    script = Script(is_quantized(model), wanted.target.precision, settings, calibrated, refused)
    _write(folder / "build.sh", script.text())
    folder.joinpath("build.sh").chmod(0o755)
    for name in _CARRIED:
        _write(folder / name, _carried(name))
    precision = _precision(model, wanted.target)
    _write(folder / "config_infer_primary.txt", config_text(wanted.spec, precision or "fp32"))
    _write(folder / "labels.txt", labels_text(wanted.spec))
    golden = write_golden(
        wanted.artifact,
        wanted.spec,
        folder,
        images=wanted.images,
        threads=wanted.threads,
        scratch=scratch,
        plain=folder / FLOAT_MODEL if calibrated else None,
        context=context,
    )
    _write(folder / "README.md", _readme(wanted, script, golden))
    about = _manifest(wanted, model, precision, golden, refused)
    files = _sealed(folder, about)
    return Written(files, golden["pictures"], {str(key): why for key, why in refused.items()})


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _carried(name: str) -> str:
    file = resources.files("edgecv_cli.runtime.carried").joinpath(name)
    return file.read_text(encoding="utf-8")


def _write_calibration(model: onnx.ModelProto, folder: Path) -> bool:
    """Write the float graph and its cache, where the model is int8 and can be told from it."""
    if not is_quantized(model):
        return False
    try:
        plain, scales = float_form(model)
    except ModelError:
        return False
    if not scales:
        return False
    folder.joinpath(FLOAT_MODEL).write_bytes(serialize(plain))
    _write(folder / CACHE, cache_text(scales))
    return True


def _refused(model: onnx.ModelProto, target: TrtTarget) -> dict[Generation, str]:
    """Ask the rules of every release that the device can have, as what is there is found there."""
    refused: dict[Generation, str] = {}
    for major in DEVICES[target.device].releases:
        other = target_of(target.device, _RELEASES[major], target.precision)
        if other.generation == target.generation:
            continue
        errors = [one for one in preflight(model, other) if one.level == "error"]
        if errors:
            first = errors[0]
            refused[other.generation] = (
                f"TensorRT {_RELEASES[major]} refuses this model ({first.rule}: {first.message}): "
                f"convert it for that release with --trt-version {_RELEASES[major]}"
            )
    return refused


def _precision(model: onnx.ModelProto, target: TrtTarget) -> str | None:
    """Return what the layers shall work in; None: as TensorRT likes."""
    if is_quantized(model):
        return "int8"
    halves = any(one.data_type == onnx.TensorProto.FLOAT16 for one in model.graph.initializer)
    return "fp16" if halves or target.precision == "fp16" or target.dla else None


def layers_meant(model: onnx.ModelProto, precision: str = "int8") -> list[str]:
    """Return what TensorRT calls the layers of a graph that shall work in a precision."""
    named = {node.name for node in model.graph.node if node.name}
    layers = read_layers(model)
    if precision == "int8":
        layers = tuple(layer for layer in layers if layer.quantized)
    return [one.name if one.name in named else f"node_of_{one.name}" for one in layers]


def _manifest(
    wanted: Wanted,
    model: onnx.ModelProto,
    precision: str | None,
    golden: Mapping[str, Any],
    refused: Mapping[Generation, str],
) -> dict[str, Any]:
    target = wanted.target
    asked: dict[str, Any] = {"expected": None, "why": "TensorRT chooses"}
    if target.dla:
        asked["why"] = "a DLA core does not show what it works in"
    elif precision is not None:
        names = layers_meant(model, precision)
        asked = {"expected": precision if names else None, "layers": names}
        asked["least_share"] = _LEAST_SHARE[precision]
        asked["least_share_calibrated"] = _LEAST_SHARE_CALIBRATED
    return {
        "kind": _KIND,
        "edgecv": __version__,
        "target": {"device": target.device, "runtime": target.label},
        "refused": dict(refused),
        "model_sha256": wanted.artifact.sha256,
        "precision": asked,
        "golden": dict(golden),
        "spec": json.loads(wanted.spec.dumps()),
        "provenance": [
            step.model_dump(mode="json", exclude_none=True) for step in wanted.artifact.lineage
        ],
    }


def _sealed(folder: Path, about: Mapping[str, Any]) -> dict[str, str]:
    """Write the manifest with every file's digest, then the sums of all; returns those."""
    listed = {
        path.name: {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
    }
    text = json.dumps({**about, "files": listed}, indent=1, sort_keys=True) + "\n"
    _write(folder / MANIFEST, text)
    sums = {name: str(entry["sha256"]) for name, entry in listed.items()}
    sums[MANIFEST] = hashlib.sha256(text.encode()).hexdigest()
    _write(folder / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
    return sums


def _readme(wanted: Wanted, script: Script, golden: Mapping[str, Any]) -> str:
    """Return what somebody reads who gets the folder and nothing else."""
    shape = "x".join(str(side) for side in wanted.spec.input.size)
    lines = [
        f"# {wanted.spec.family} {shape} for {wanted.target.label} ({wanted.target.device})",
        "An engine of TensorRT fits the GPU and the release that it was built with, so it is "
        "built here:",
        "```",
        "sh build.sh              # finds trtexec, reads its release, builds model.engine",
        "python3 verify.py        # runs it on the golden inputs; exit code 0: it is right",
        "```",
        "`sh build.sh --dry-run` prints the line. `TRTEXEC=/path` names trtexec, "
        "`TENSORRT_RELEASE=100300` its release. timing.cache is kept: a second build is faster.",
    ]
    if script.calibrated:
        lines.append(
            f"`sh build.sh --calibrated` builds {FLOAT_MODEL} with {CACHE} instead of the Q/DQ "
            "graph (8.x and 10.x); that is what DLA cores take, and what happens for them."
        )
    lines += [
        "",
        f"`verify.py` needs numpy, TensorRT's Python package and the CUDA runtime. It holds "
        f"{golden['pictures']} golden inputs ({golden['source']}) against what ONNX Runtime made "
        "of them, and what the layers work in against what was asked for. Exit codes: 0 verified, "
        "1 could not be checked, 3 wrong. `--json` prints one object.",
        "",
        "`config_infer_primary.txt` and `labels.txt` are for DeepStream; what is MISSING there is "
        "said in place. `manifest.json` has the detector's spec, tolerances, steps and digests.",
    ]
    return "\n".join(lines) + "\n"
