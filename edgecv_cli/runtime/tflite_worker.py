"""What runs in the side environment of target tflite: plain files in, plain files out.

``python tflite_worker.py JOB.json``: this file alone is run there, so it imports nothing of edgecv.
It opens no connection: whatever a converter tries to fetch is refused.

A job is ``{"do": "convert", "onnx": PATH, "tflite": PATH}``, or ``{"do": "halve", "float": PATH,
"tflite": PATH}``, or ``{"do": "quantize", "float": PATH, "samples": FOLDER, "ranges": PATH,
"tflite": PATH}`` with ``*.npy`` in the folder, one input each, and the ranges as JSON, tensor to
[low, high].
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_NETWORK = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"})


def main(arguments: list[str]) -> None:
    """Do one job."""
    sys.addaudithook(_offline)
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    {"convert": _convert, "halve": _halve, "quantize": _quantize}[job["do"]](job)


def _offline(event: str, details: tuple[Any, ...]) -> None:
    if event in _NETWORK:
        raise PermissionError(f"edgecv lets no converter use the network ({event} {details[1:]})")


def _convert(job: dict[str, Any]) -> None:
    import onnx2tf

    with tempfile.TemporaryDirectory() as folder:
        onnx2tf.convert(
            input_onnx_file_path=job["onnx"],
            output_folder_path=folder,
            tflite_backend="flatbuffer_direct",
            not_use_onnxsim=True,
            non_verbose=True,
            verbosity="error",
        )
        made = sorted(Path(folder).glob("*_float32.tflite"))
        if not made:
            raise SystemExit("the converter wrote no float32 file")
        shutil.move(made[0], job["tflite"])


def _halve(job: dict[str, Any]) -> None:
    """Store weights as float16, which the interpreter widens when it loads them."""
    from ai_edge_quantizer import qtyping, quantizer

    work = quantizer.Quantizer(job["float"])
    work.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
    )
    Path(job["tflite"]).write_bytes(_bytes(work.quantize()))


def _quantize(job: dict[str, Any]) -> None:
    """Make weights, activations, inputs and outputs int8.

    Ranges that are not given are the least and the largest value on any image: the quantizer's own
    moving average would cut off the highest scores, which then can't be told apart.
    """
    import numpy as np
    from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    work = quantizer.Quantizer(job["float"])
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    signature, name = _signature(job["float"])
    samples = _Samples(Path(job["samples"]), name)
    recipes = recipe_manager.RecipeManager()
    recipes.load_quantization_recipe(recipe.static_wi8_ai8())
    ranges = calibrator.Calibrator(
        job["float"], num_threads=2, qsv_update_func=qsv_utils.min_max_update
    )
    ranges.calibrate({signature: samples}, recipes)
    seen = ranges.get_model_qsvs()
    for tensor, bounds in json.loads(Path(job["ranges"]).read_text(encoding="utf-8")).items():
        if tensor in seen:
            low, high = (np.full_like(seen[tensor]["min"], bound) for bound in bounds)
            seen[tensor] = {**seen[tensor], "min": low, "max": high}
    result = work.quantize(seen)
    Path(job["tflite"]).write_bytes(_closed(_bytes(result)))


def _signature(path: str) -> tuple[Any, str]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path)
    signatures = interpreter.get_signature_list()
    if signatures:
        key = next(iter(signatures))
        return key, signatures[key]["inputs"][0]
    return None, interpreter.get_input_details()[0]["name"]


def _closed(content: bytes) -> bytes:
    """Strike out that shapes are open, where the interpreter finds every one as it is stored.

    The converter says so of all that follows a Slice, and an Edge TPU takes no open shape.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    found = [[int(size) for size in one["shape"]] for one in interpreter.get_tensor_details()]
    # Sizes are written over in place: weights may stand behind the flatbuffer, by their offset.
    changed = bytearray(content)
    model = schema.Model.GetRootAs(changed, 0)
    if model.SubgraphsLength() != 1 or not _close(model.Subgraphs(0), found):
        return content
    return bytes(changed)


def _close(graph: Any, found: list[list[int]]) -> bool:
    """Write each tensor's shape over its open one; False, and nothing, where that may be meant."""
    tensors = [graph.Tensors(index) for index in range(graph.TensorsLength())]
    inputs = [tensors[graph.Inputs(index)] for index in range(graph.InputsLength())]
    if any(_open(one).size and _open(one).min() < 0 for one in inputs):
        return False
    if [_sizes(one.ShapeAsNumpy()).tolist() for one in tensors] != found[: len(tensors)]:
        return False
    for one in tensors:
        if _open(one).size:
            _open(one)[:] = one.ShapeAsNumpy()
    return True


def _open(tensor: Any) -> Any:
    return _sizes(tensor.ShapeSignatureAsNumpy())


def _sizes(value: Any) -> Any:
    """Return a vector as an array; the reader gives 0 where there is none."""
    import numpy as np

    return value if isinstance(value, np.ndarray) else np.zeros(0, np.int32)


def _bytes(result: Any) -> bytes:
    if result.quantized_model is None:
        raise SystemExit("the quantizer made no model")
    return bytes(result.quantized_model)


class _Samples:
    """Inputs from a folder, read again on each pass: there may be more than memory takes."""

    def __init__(self, folder: Path, name: str) -> None:
        self._paths = sorted(folder.glob("*.npy"))
        self._name = name

    def __iter__(self) -> Iterator[dict[str, Any]]:
        import numpy as np

        for path in self._paths:
            yield {self._name: np.load(path, allow_pickle=False)}

    def __len__(self) -> int:
        return len(self._paths)


if __name__ == "__main__":
    main(sys.argv[1:])
