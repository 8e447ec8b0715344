"""Export the averaged weights of a checkpoint to the ONNX file that edgecv carries."""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import onnxscript.optimizer
import torch
from dataset import VALIDATION_SEED, draw_row
from network import STRIDES, ConvNorm, Decoded, Detector
from parts import CLASSES
from scenes import SIZE
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

OPSET = 17
TOLERANCE = 1e-4
"""Largest difference between torch and the exported file: scores, and boxes in image sides."""


def fold(model: nn.Module) -> None:
    """Fold every BatchNorm into the convolution before it, in place."""
    for module in model.modules():
        if isinstance(module, ConvNorm):
            convolution, norm = module[0], module[1]
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            module[0] = fuse_conv_bn_eval(convolution, norm)
            module[1] = nn.Identity()


def export(model: nn.Module) -> onnx.ModelProto:
    """Return the model in ONNX with nothing of the exporting machine in it."""
    example = torch.zeros(1, 3, SIZE, SIZE)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # the older exporter: the newer one starts at opset 18
        warnings.simplefilter("ignore", DeprecationWarning)
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            model,
            (example,),
            path,
            input_names=["images"],
            output_names=["output0"],
            opset_version=OPSET,
            dynamo=False,
        )
        exported = onnx.load(path)
    # shape arithmetic of a fixed input becomes constants
    exported = onnxscript.optimizer.optimize(onnx.shape_inference.infer_shapes(exported))
    # the exporter notes source lines and call stacks, which differ from machine to machine
    exported.doc_string = exported.graph.doc_string = ""
    del exported.metadata_props[:]
    graph = exported.graph
    for part in (*graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    metadata = {
        "names": str(dict(enumerate(CLASSES))),
        "stride": str(max(STRIDES)),
        "task": "detect",
        "imgsz": str([SIZE, SIZE]),
    }
    onnx.helper.set_model_props(exported, metadata)
    onnx.checker.check_model(exported, full_check=True)
    return exported


@torch.no_grad()
def parity(model: nn.Module, exported: onnx.ModelProto, count: int = 8) -> float:
    """Return the largest difference between torch and ONNX Runtime on drawn scenes.

    Boxes are compared in image sides, so that they weigh as much as scores.
    """
    session = onnxruntime.InferenceSession(
        exported.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    unit = np.array([SIZE] * 4 + [1] * len(CLASSES), np.float32)[:, None]
    worst = 0.0
    for index in range(count):
        image = draw_row(VALIDATION_SEED, index)[0][None].astype(np.float32) / 255
        expected = model(torch.from_numpy(image)).numpy()
        (found,) = session.run(None, {"images": image})
        worst = max(worst, float(np.abs((np.asarray(found) - expected) / unit).max()))
    return worst


def main() -> None:
    """Read the command line, export and check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder with checkpoint.pt")
    default = Path(__file__).parent / "builtin_detector.onnx"
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    state = torch.load(options.work / "checkpoint.pt", weights_only=True)
    detector = Detector(len(CLASSES), SIZE)
    detector.load_state_dict(state["average"])
    model = Decoded(detector).eval()
    fold(model)
    exported = export(model)
    difference = parity(model, exported)
    if difference > TOLERANCE:
        raise SystemExit(f"torch and ONNX Runtime differ by {difference:.2g}")
    onnx.save(exported, options.output)
    size = options.output.stat().st_size
    print(f"step {state['step']}, {size} bytes, differs from torch by {difference:.2g}")


if __name__ == "__main__":
    main()
