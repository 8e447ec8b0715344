"""Checks of operators and their attributes, of types and shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import TensorProto

from edgecv_cli.graph.shapes import value_shape
from edgecv_cli.graph.tail import INTEGER_WEIGHTED
from edgecv_cli.graph.tensorrt.finding import Hit, Level
from edgecv_cli.graph.tensorrt.target import TrtTarget
from edgecv_cli.graph.tensorrt.view import QUANTIZE, RESTORE, View, attribute, label

# onnx-tensorrt 10.1, docs/operators.md; TensorRT-RTX 1.7 says the same of each.
UNSUPPORTED = frozenset(
    [
        "AffineGrid",
        "Bernoulli",
        "BitCast",
        "BitShift",
        "BitwiseAnd",
        "BitwiseNot",
        "BitwiseOr",
        "BitwiseXor",
        "CenterCropPad",
        "Col2Im",
        "Compress",
        "ConcatFromSequence",
        "ConvInteger",
        "CumProd",
        "DFT",
        "DeformConv",
        "Det",
        "DynamicQuantizeLinear",
        "ImageDecoder",
        "MatMulInteger",
        "MaxRoiPool",
        "MaxUnpool",
        "MelWeightMatrix",
        "Multinomial",
        "NegativeLogLikelihoodLoss",
        "Optional",
        "OptionalGetElement",
        "OptionalHasElement",
        "QLinearConv",
        "QLinearMatMul",
        "RegexFullMatch",
        "SequenceAt",
        "SequenceConstruct",
        "SequenceEmpty",
        "SequenceErase",
        "SequenceInsert",
        "SequenceLength",
        "SequenceMap",
        "SoftmaxCrossEntropyLoss",
        "SplitToSequence",
        "StringConcat",
        "StringNormalizer",
        "StringSplit",
        "SwiGLU",
        "TfIdfVectorizer",
        "Unique",
    ]
)
# Plugins of classic TensorRT that TensorRT-RTX does not bring along.
_UNSUPPORTED_RTX = UNSUPPORTED | {"NonZero", "NonMaxSuppression"}
_INTEGER = INTEGER_WEIGHTED | {"DynamicQuantizeLinear"}
_PLUGIN_SUFFIX = "_TRT"
MAX_TOPK = 3840
MAX_DLA_SIDE = 8192
MAX_DLA_BATCH = 4096
_GPU_FALLBACK = "nothing, if the GPU may compute it (--allowGPUFallback, as in the command shown)"
_RESIZES = frozenset(
    {"half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners"}
)
_NEWEST = {"8.6": 17, "10": 20, "11": 25, "rtx": 25}
OLDEST_OPSET = 9


def newest_opset(target: TrtTarget) -> int:
    """Return the newest operator set that is documented for a target."""
    return _NEWEST[target.generation]


def opset(view: View, target: TrtTarget) -> Iterator[Hit]:
    """Yield an operator set outside of what is documented."""
    newest = newest_opset(target)
    if OLDEST_OPSET <= view.opset <= newest:
        return
    # only 10.0 and 10.1 were read; later releases of 10.x took more
    later = target.generation == "10" and target.release[1] > 1 and view.opset > newest
    level: Level | None = "warning" if later else None
    yield Hit(
        "", f"its operator set is {view.opset}; {OLDEST_OPSET} to {newest} are documented", level
    )


def operators(view: View, target: TrtTarget) -> Iterator[Hit]:
    """Yield operators that the parser does not have."""
    lacking = _UNSUPPORTED_RTX if target.rtx else UNSUPPORTED
    for node in view.everywhere():
        if node.domain in ("", "ai.onnx"):
            if node.op_type in lacking:
                yield Hit(label(node), f"{node.op_type} is not supported", None, _advice(node))
        elif node.domain.startswith("ai.onnx") or target.rtx or not _is_plugin(node):
            yield Hit(label(node), f"{node.domain}.{node.op_type} is no operator of TensorRT's")


def _advice(node: onnx.NodeProto) -> str | None:
    """Say what to do about operators that have a known way around."""
    if node.op_type in _INTEGER:
        return "start from the float model: edgecv quantize MODEL -o OUT --target tensorrt"
    if node.op_type in ("NonMaxSuppression", "NonZero"):
        return "export the model without NMS inside: edgecv suppresses boxes itself"
    return None


def _is_plugin(node: onnx.NodeProto) -> bool:
    """Whether a node names one of the plugins that classic TensorRT comes with."""
    return bool(node.op_type.endswith(_PLUGIN_SUFFIX))


def attributes(view: View, target: TrtTarget) -> Iterator[Hit]:
    """Yield operators with attributes or operands that the parser does not take."""
    for node in view.graph.node:
        check = _ATTRIBUTES.get(node.op_type)
        if check is not None:
            yield from check(view, node, target)


def _topk(view: View, node: onnx.NodeProto, target: TrtTarget) -> Iterator[Hit]:
    counts = view.value(view.part(node, 1))
    if counts is not None and counts.size == 1 and int(np.real(counts).item()) > MAX_TOPK:
        yield Hit(label(node), f"TopK wants {int(counts.item())} elements, more than {MAX_TOPK}")
    if not attribute(node, "sorted", 1):
        yield Hit(label(node), "TopK has sorted=0", _unless_rtx(target))


def _max_pool(_view: View, node: onnx.NodeProto, _target: TrtTarget) -> Iterator[Hit]:
    if len(node.output) > 1 and node.output[1]:
        yield Hit(label(node), "MaxPool has a second output, the indices")
    if any(step != 1 for step in attribute(node, "dilations", [])):
        yield Hit(label(node), "MaxPool has dilations")


def _bounds(view: View, node: onnx.NodeProto, _target: TrtTarget) -> Iterator[Hit]:
    for index in (1, 2, 3, 4) if node.op_type == "Slice" else (1, 3):
        name = view.part(node, index)
        if name and view.depends_on_data(name):
            yield Hit(label(node), f"{node.op_type} takes '{name}', computed from image data")


def _scatter(_view: View, node: onnx.NodeProto, _target: TrtTarget) -> Iterator[Hit]:
    reduction = attribute(node, "reduction", "none")
    if reduction != "none":
        yield Hit(label(node), f"ScatterND has reduction={reduction}")


def _grid_sample(view: View, node: onnx.NodeProto, target: TrtTarget) -> Iterator[Hit]:
    shape = view.shapes.get(node.input[0])
    if shape is not None and len(shape) != 4:
        yield Hit(label(node), f"GridSample over {len(shape)} axes, not 4", _unless_rtx(target))


def _resize(_view: View, node: onnx.NodeProto, target: TrtTarget) -> Iterator[Hit]:
    mode = attribute(node, "mode", "nearest")
    if mode not in ("nearest", "linear"):
        yield Hit(label(node), f"Resize has mode={mode}", _unless_rtx(target))
    transformation = attribute(node, "coordinate_transformation_mode", "half_pixel")
    if transformation not in _RESIZES:
        yield Hit(label(node), f"Resize has coordinate_transformation_mode={transformation}")
    if attribute(node, "antialias", 0):
        yield Hit(label(node), "Resize has antialias=1")


def _unless_rtx(target: TrtTarget) -> Level | None:
    """TensorRT-RTX 1.7 was seen to build it; of others it is documented that they do not."""
    return "info" if target.rtx else None


_ATTRIBUTES: dict[str, Callable[[View, onnx.NodeProto, TrtTarget], Iterator[Hit]]] = {
    "TopK": _topk,
    "MaxPool": _max_pool,
    "Slice": _bounds,
    "Pad": _bounds,
    "ScatterND": _scatter,
    "GridSample": _grid_sample,
    "Resize": _resize,
}


def unsigned_tensors(view: View, _target: TrtTarget) -> Iterator[Hit]:
    """Yield nodes that make uint8 inside of the graph, but for quantization."""
    for node in view.graph.node:
        if node.op_type in (QUANTIZE, RESTORE, "Constant") or node.op_type in UNSUPPORTED:
            continue
        for name in node.output:
            if view.types.get(name) == TensorProto.UINT8 and name not in view.outputs:
                yield Hit(label(node), f"{node.op_type} makes the uint8 tensor '{name}'")


def precision_flags(view: View, target: TrtTarget) -> Iterator[Hit]:
    """Yield a precision that was asked for and that the graph does not have."""
    asked = target.precision
    if not target.strong or asked in (None, "fp32"):
        return
    if asked == "int8" and not view.quantized:
        yield Hit("", "int8 was asked for, and the graph has no Q/DQ")
    halves = TensorProto.FLOAT16 in view.types.values()
    if asked == "fp16" and not halves:
        yield Hit("", "fp16 was asked for, and the graph holds no float16 tensor")


def typed_flags(view: View, target: TrtTarget) -> Iterator[Hit]:
    """Yield a precision flag beside a graph with Q/DQ, which --stronglyTyped builds."""
    if target.precision == "fp16" and TensorProto.FLOAT16 in view.types.values():
        return
    if target.precision in ("fp16", "fp32") and view.quantized:
        yield Hit("", f"{target.precision} was asked for, and Q/DQ says int8")


def fixed_shapes(view: View, target: TrtTarget) -> Iterator[Hit]:
    """Yield inputs with open axes, and sizes that a DLA core does not take."""
    for value in view.inputs:
        shape = value_shape(value)
        if shape is None or None in shape:
            said = "unknown" if shape is None else "x".join(str(size or "?") for size in shape)
            yield Hit(value.name, f"the shape of input '{value.name}' is open ({said})")
    if not target.dla:
        return
    for node in view.graph.node:
        for name in node.output:
            shape = view.shapes.get(name)
            if shape is None or len(shape) != 4 or view.constants.is_constant(name):
                continue
            batch, *sides = (size or 0 for size in shape)
            if batch > MAX_DLA_BATCH or max(sides) > MAX_DLA_SIDE:
                size_of = "x".join(map(str, (batch, *sides)))
                yield Hit(label(node), f"it makes {size_of}", "warning", _GPU_FALLBACK)


def dla_release(_view: View, target: TrtTarget) -> Iterator[Hit]:
    """Yield a release that has no support for DLA cores."""
    major, minor = target.release
    if target.dla and ((major == 10 and minor > 7) or (major == 11 and minor < 4)):
        yield Hit("", f"TensorRT {major}.{minor} does not run on DLA cores")
