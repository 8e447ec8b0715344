"""Run the engine beside this file on the golden inputs, and hold what comes out against the model.

Needs Python 3.8, numpy, TensorRT's Python package and the CUDA runtime. Exit codes: 0 all checks
passed; 1 it could not be checked; 2 wrong usage; 3 a check failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple, Sequence

import cuda_runtime
import engine_layers
import numpy as np

HERE = Path(__file__).resolve().parent
_DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
}
_PASSED, _UNKNOWN, _FAILED = 0, 1, 3


class CannotCheckError(Exception):
    """Something that the checks need is not there."""


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    passed: bool
    message: str


def main(argv: Sequence[str]) -> int:
    """Check, report, and return the exit code."""
    options = _options(argv)
    report: dict[str, Any] = {"schema": "edgecv.trt-verify/1", "verified": False}
    checks: list[Check] = []
    code = _UNKNOWN
    try:
        _check_all(options, report, checks)
        code = _PASSED if all(check.passed for check in checks) else _FAILED
    except (CannotCheckError, cuda_runtime.CudaError) as error:
        report["error"] = str(error)
    report["verified"] = code == _PASSED
    report["checks"] = [check._asdict() for check in checks]
    sys.stdout.write(json.dumps(report) + "\n" if options.json else _told(report, checks))
    return code


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Check the engine that build.sh has built.")
    parser.add_argument("--engine", type=Path, default=HERE / "model.engine", help="the engine")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--any-precision", action="store_true", help="do not ask what the layers work in"
    )
    return parser.parse_args(argv)


def _told(report: dict[str, Any], checks: Sequence[Check]) -> str:
    lines = [f"{'ok' if one.passed else 'FAILED'}  {one.name}: {one.message}" for one in checks]
    if "error" in report:
        lines.append(f"could not be checked: {report['error']}")
    lines.append("verified" if report["verified"] else "NOT verified")
    return "\n".join(lines) + "\n"


def _check_all(options: argparse.Namespace, report: dict[str, Any], checks: list[Check]) -> None:
    manifest = _manifest()
    untouched = _files(manifest)
    checks.append(untouched)
    if not untouched.passed:
        return
    data = _read(options.engine, "build it first: sh build.sh")
    report["engine"] = {
        "path": str(options.engine),
        "size_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    trt = _tensorrt()
    report["tensorrt"] = str(trt.__version__)
    engine = _Engine(trt, data)
    fits = _interface(manifest, engine)
    checks.append(fits)
    if not fits.passed:
        return
    expected = _arrays("expected_outputs.npz")
    found = engine.run(manifest["golden"]["inputs"], _arrays("golden_inputs.npz"))
    outputs = manifest["golden"]["outputs"]
    rows = [
        row for one in outputs for row in _compared(one, expected[one["key"]], found[one["name"]])
    ]
    report["outputs"] = rows
    checks.extend(Check("outputs", row["passed"], row["message"]) for row in rows)
    if manifest["precision"]["expected"] and not options.any_precision:
        checks.append(_precision(manifest["precision"], engine.information(), report))


def _manifest() -> dict[str, Any]:
    try:
        found = json.loads(_read(HERE / "manifest.json", "copy the whole bundle"))
    except ValueError as error:
        raise CannotCheckError(f"manifest.json is damaged: {error}") from error
    if not isinstance(found, dict) or found.get("kind") != "edgecv.trt-bundle/1":
        raise CannotCheckError("manifest.json is not that of a bundle")
    return found


def _calibrated() -> bool:
    """Whether build.sh took the float graph and the calibration cache last."""
    return (HERE / "calibration.device.cache").exists()


def _read(path: Path, remedy: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CannotCheckError(f"{path.name} can't be read ({error.strerror}): {remedy}") from error


def _files(manifest: dict[str, Any]) -> Check:
    """Hold every file of the bundle against its digest."""
    changed = []
    for name, about in manifest["files"].items():
        path = HERE / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != about["sha256"]:
            changed.append(name)
    if changed:
        return Check("files", False, "missing or changed: " + ", ".join(changed))
    return Check("files", True, f"{len(manifest['files'])} as they were written")


def _tensorrt() -> Any:
    try:
        import tensorrt
    except ImportError as error:
        raise CannotCheckError(
            f"TensorRT's Python package can't be loaded ({error}): install python3-libnvinfer, or "
            "pip install tensorrt"
        ) from error
    return tensorrt


def _arrays(name: str) -> dict[str, Any]:
    try:
        with np.load(HERE / name, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except (OSError, ValueError) as error:
        raise CannotCheckError(f"{name} can't be read: {error}") from error


def _interface(manifest: dict[str, Any], engine: _Engine) -> Check:
    """Hold the names of inputs and outputs against the model's."""
    wanted = {one["name"] for one in manifest["golden"]["inputs"]}
    wanted |= {one["name"] for one in manifest["golden"]["outputs"]}
    there = {*engine.inputs, *engine.outputs}
    if wanted != there:
        return Check(
            "interface",
            False,
            f"the engine has {sorted(there)}, the model {sorted(wanted)}",
        )
    return Check("interface", True, f"{len(engine.inputs)} in, {len(engine.outputs)} out")


class _Engine:
    """An engine and what it takes to run it."""

    def __init__(self, trt: Any, data: bytes) -> None:
        self._trt = trt
        self._logger = trt.Logger(trt.Logger.WARNING)
        trt.init_libnvinfer_plugins(self._logger, "")
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            raise CannotCheckError(
                f"TensorRT {trt.__version__} does not load this engine: it was built by another "
                "release or for another GPU; run build.sh here"
            )
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise CannotCheckError("TensorRT has no memory to run this engine")
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        fed = trt.TensorIOMode.INPUT
        self.inputs = [name for name in names if self._engine.get_tensor_mode(name) == fed]
        self.outputs = [name for name in names if name not in self.inputs]

    def information(self) -> str:
        """Return what the engine inspector says of every layer, as JSON."""
        inspector = self._engine.create_engine_inspector()
        inspector.execution_context = self._context
        return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def run(self, inputs: Sequence[dict[str, Any]], arrays: dict[str, Any]) -> dict[str, list[Any]]:
        """Run every golden input; returns the outputs of each by name."""
        cuda = cuda_runtime.Cuda()
        count = len(arrays[inputs[0]["key"]])
        found: dict[str, list[Any]] = {name: [] for name in self.outputs}
        stream = cuda.stream()
        for index in range(count):
            feeds = {one["name"]: arrays[one["key"]][index] for one in inputs}
            for name, value in self._once(cuda, stream, feeds).items():
                found[name].append(value)
        cuda.end(stream)
        return found

    def _once(self, cuda: cuda_runtime.Cuda, stream: int, feeds: dict[str, Any]) -> dict[str, Any]:
        addresses = []
        made: dict[str, Any] = {}
        try:
            for name, value in feeds.items():
                array = np.ascontiguousarray(value.astype(self._dtype(name)))
                self._context.set_input_shape(name, array.shape)
                addresses.append(cuda.allocate(array.nbytes))
                cuda.upload(addresses[-1], array, stream)
                self._context.set_tensor_address(name, addresses[-1])
                made[f"in {name}"] = array  # the copy reads it until the stream is through
            for name in self.outputs:
                made[name] = np.zeros(self._shape(name), self._dtype(name))
                addresses.append(cuda.allocate(made[name].nbytes))
                self._context.set_tensor_address(name, addresses[-1])
            if not self._context.execute_async_v3(stream):
                raise CannotCheckError("TensorRT failed to run the engine")
            for name, address in zip(self.outputs, addresses[len(feeds) :]):
                cuda.download(made[name], address, stream)
            cuda.wait(stream)
        finally:
            for address in addresses:
                cuda.free(address)
        return {name: made[name] for name in self.outputs}

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = tuple(self._context.get_tensor_shape(name))
        if any(size < 0 for size in shape):
            raise CannotCheckError(f"the size of output {name} hangs on what is found: {shape}")
        return shape

    def _dtype(self, name: str) -> Any:
        kind = str(self._engine.get_tensor_dtype(name)).rpartition(".")[2]
        if kind not in _DTYPES:
            raise CannotCheckError(f"{name} is of type {kind}, which numpy does not have")
        return _DTYPES[kind]


def _compared(about: dict[str, Any], expected: Any, found: list[Any]) -> list[dict[str, Any]]:
    """Hold one output against the model's: a row for each part of it."""
    name = about["name"]
    wrong = next((one.shape for one in found if one.shape != expected.shape[1:]), None)
    if wrong is not None:
        message = f"{name}: shape {list(wrong)}, the model has {list(expected.shape[1:])}"
        return [{"output": name, "passed": False, "message": message}]
    values = np.stack(found)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        message = f"{name}: {count} values are not finite (NaN or infinite)"
        return [{"output": name, "passed": False, "message": message}]
    return [_part(name, part, expected, values) for part in about["parts"]]


def _part(name: str, part: dict[str, Any], expected: Any, values: Any) -> dict[str, Any]:
    label = f"{name}, {part['name']}" if part["name"] else name
    if part["least_db"] is None:
        message = f"{label}: finite; {part['why']}"
        return {"output": label, "passed": True, "message": message}
    if part["axis"] is not None:
        place = [slice(None)] * expected.ndim
        place[part["axis"] + 1] = slice(*part["columns"])
        expected, values = expected[tuple(place)], values[tuple(place)]
    a, b = expected.astype(np.float64), values.astype(np.float64)
    noise, signal = float(np.square(a - b).sum()), float(np.square(a).sum())
    largest = float(np.abs(a - b).max()) if a.size else 0.0
    least = part["least_db_calibrated"] if _calibrated() else part["least_db"]
    row: dict[str, Any] = {"output": label, "max_abs": largest, "least_db": least}
    if noise == 0:
        return {**row, "passed": True, "message": f"{label}: equal to the last bit"}
    row["snr_db"] = 10 * math.log10(max(signal, 1e-300) / noise)
    row["passed"] = row["snr_db"] >= least
    row["message"] = (
        f"{label}: {row['snr_db']:.1f} dB (at least {least:.1f}), largest difference {largest:.3g}"
    )
    return row


def _precision(wanted: dict[str, Any], information: str, report: dict[str, Any]) -> Check:
    """Hold what the layers of the engine work in against what was asked for."""
    try:
        seen = engine_layers.worked(information, wanted["layers"])
    except ValueError as error:
        return Check("precision", False, f"the engine inspector's answer can't be read: {error}")
    report["precision"] = {"counts": seen.counts, "hidden": len(seen.hidden)}
    report["precision"]["missing"] = len(seen.missing)
    name = wanted["expected"]
    least = wanted["least_share_calibrated"] if _calibrated() else wanted["least_share"]
    share = seen.share(name)
    if share is None:
        why = "no layer shows its type" if seen.detailed else "it names its layers and no more"
        remedy = "build it with --profilingVerbosity=detailed, or pass --any-precision"
        return Check("precision", False, f"the engine does not say: {why}; {remedy}")
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(seen.counts.items()))
    message = f"of {len(wanted['layers'])} layers meant for {name}: {counted}"
    if seen.hidden or seen.missing:
        message += f", {len(seen.hidden)} not shown, {len(seen.missing)} not found"
    if share < least:
        wrong = [
            one for kind, names in sorted(seen.others.items()) if kind != name for one in names
        ]
        message += f"; not in {name}: {', '.join(wrong[:5])}"
    return Check("precision", share >= least, message)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
