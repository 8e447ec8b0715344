"""The rules, as data: what must hold, where, how bad it is otherwise, and who says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from edgecv_cli.graph.tensorrt import operator_checks as operators
from edgecv_cli.graph.tensorrt import placement_checks as placement
from edgecv_cli.graph.tensorrt import quantized_checks as quantized
from edgecv_cli.graph.tensorrt.finding import Hit, Level
from edgecv_cli.graph.tensorrt.target import GENERATIONS, Generation, TrtTarget
from edgecv_cli.graph.tensorrt.view import View

Check = Callable[[View, TrtTarget], Iterator[Hit]]
Levels = Mapping[Generation, Level]


@dataclass(frozen=True)
class Rule:
    """One thing that TensorRT asks.

    Attributes:
        number: its number in the documentation.
        name: what findings call it.
        asks: what must hold.
        levels: how bad a breach is, by generation; a generation that is left out does not ask.
        dla: how bad it is on a DLA core, if other than that.
        check: finds the breaches.
        remedy: what to do about one.
        repair: what ``--fix`` does about it; empty: nothing.
        source: who says so.
        seen: what the parser and builder of TensorRT-RTX 1.7.1 did with a breach.
    """

    number: int
    name: str
    asks: str
    levels: Levels
    check: Check
    remedy: str
    source: str
    seen: str
    repair: str = ""
    dla: Level | None = None

    def level(self, target: TrtTarget) -> Level | None:
        """Return how bad a breach is for a target; None: the rule does not hold there."""
        if target.dla and self.dla is not None:
            return self.dla
        return self.levels.get(target.generation)


def _all(level: Level, **others: Level) -> Levels:
    """The same level everywhere, but for ``rtx`` and others that are named."""
    return {name: others.get(name, level) for name in GENERATIONS}


_PARSER = "onnx-tensorrt 10.1, onnxOpImporters.cpp"
_OPERATORS = "onnx-tensorrt 10.1, docs/operators.md"
_HEADER = "TensorRT 11.1, NvInfer.h, IQuantizeLayer"
_EXPLICIT = "TensorRT documentation, explicit quantization"
_TOOLKIT = "NVIDIA tensorflow-quantization toolkit, custom Q/DQ cases"
_DLA = "TensorRT documentation, DLA supported layers and restrictions"
_MIGRATION = "TensorRT documentation, migration from 10.x to 11.x"
_FIX = "add --fix"
_FLOAT = "start from the float model: edgecv quantize MODEL -o OUT --target tensorrt"

RULES: tuple[Rule, ...] = (
    Rule(
        1,
        "zero-point",
        "Every zero point is 0 and stored.",
        _all("error"),
        quantized.zero_points,
        f"{_FIX}: ranges are put on symmetric grids",
        f"{_PARSER}; {_HEADER}",
        "refused",
        repair="symmetric int8: the grid is kept where biases can take the zero point along, else "
        "the scale is fitted anew; a clamp that the grid stood for comes back; a pair that no "
        "layer reads is left out",
    ),
    Rule(
        2,
        "uint8",
        "Q and DQ are over int8, not uint8.",
        _all("error", rtx="warning"),
        quantized.unsigned,
        f"{_FIX}: uint8 becomes int8",
        f"{_PARSER}; a DLA core of Orin takes it behind a flag of the builder ({_DLA})",
        "weights refused; activations with zero point 0 built",
        repair="int8, as for `zero-point`",
        dla="error",
    ),
    Rule(
        3,
        "scale-positive",
        "Every scale is above 0.",
        _all("error"),
        quantized.positive_scales,
        f"{_FIX} mends those of weights; for an activation, {_FLOAT}",
        f"{_PARSER}; {_HEADER}",
        "refused",
        repair="scales of weights are fitted anew; those of activations can't be known",
    ),
    Rule(
        4,
        "zero-point-size",
        "There are as many zero points as scales.",
        _all("error"),
        quantized.zero_point_sizes,
        f"{_FIX}: zero points take the shape of the scales",
        _PARSER,
        "refused",
        repair="zero points in the shape of the scales",
    ),
    Rule(
        5,
        "scale-stored",
        "Scales are stored, not computed.",
        _all("error", rtx="warning"),
        quantized.stored_scales,
        f"{_FLOAT}, with calibration images",
        _PARSER,
        "built",
    ),
    Rule(
        6,
        "axis",
        "Scales fit their axis, the axis is written down, and activations have one scale.",
        {"8.6": "error", "10": "error", "11": "warning", "rtx": "info"},
        quantized.axes,
        f"{_FIX}: the axis is written down",
        f"{_PARSER} (an absent axis is 0 there, 1 in ONNX)",
        "scales that do not fit refused; an absent axis taken as 1; activations built",
        repair="the axis that ONNX means, or else the one that fits",
    ),
    Rule(
        7,
        "integer-type",
        "Integers are INT8, FP8 or INT4, and output_dtype is that of the zero point.",
        _all("error"),
        quantized.integer_types,
        f"{_FIX}: 8 bits; where that costs too much, leave the layer float",
        _PARSER,
        "refused",
        repair="16 bits become 8; output_dtype is left out",
    ),
    Rule(
        8,
        "opset",
        "The operator set is 9 to 17 (8.6), 9 to 20 (10.0, 10.1) or 9 to 25 (11.x).",
        _all("error", rtx="warning"),
        operators.opset,
        f"{_FIX} converts it where onnx can; or export with an operator set in that range",
        f"{_OPERATORS}; TensorRT documentation, ONNX opset guide",
        "operator sets 6 to 26 built",
        repair="converted, where onnx can",
    ),
    Rule(
        9,
        "operator",
        "Every operator has an importer or a plugin.",
        _all("error"),
        operators.operators,
        "export the model without it",
        _OPERATORS,
        "refused",
    ),
    Rule(
        10,
        "attribute",
        "TopK has k <= 3840 and sorted=1; MaxPool no indices and no dilations; bounds of Slice "
        "and Pad do not hang on image data; ScatterND has no reduction; GridSample is 4-D; Resize "
        "is nearest or linear, without antialiasing, in a known coordinate mode.",
        _all("error"),
        operators.attributes,
        f"{_FIX} mends sorted=0 and indices that nobody reads; else export without it",
        _OPERATORS,
        "refused, but for sorted=0, 5-D GridSample and cubic Resize, which were built",
        repair="sorted=1; indices that nobody reads are left out",
    ),
    Rule(
        11,
        "uint8-inside",
        "uint8 tensors are inputs and outputs of the network only.",
        _all("error"),
        operators.unsigned_tensors,
        "cast to int32 or float16 in place of uint8, and export again",
        _OPERATORS,
        "refused",
    ),
    Rule(
        12,
        "precision-flag",
        "From 11.x on, precision comes from the graph: there is no --fp16, --int8 and no cache.",
        {"11": "error", "rtx": "error"},
        operators.precision_flags,
        f"fp16: {_FIX} --precision fp16 casts; int8: edgecv quantize --target tensorrt",
        _MIGRATION,
        "no such flags",
        repair="fp16: casts in the graph, as --precision fp16 asks",
    ),
    Rule(
        13,
        "strongly-typed",
        "In 10.x, a graph with Q/DQ is built with --stronglyTyped and no other precision flag.",
        {"10": "error"},
        operators.typed_flags,
        f"leave --precision out; {_FIX} where the float rest shall be fp16",
        _EXPLICIT,
        "not asked",
        repair="fp16: casts in the graph around int8, as --precision fp16 asks",
    ),
    Rule(
        14,
        "half-quantized",
        "A layer has Q/DQ at its input and its weights, or at neither.",
        _all("warning"),
        placement.half_quantized,
        "quantize both, or keep the layer float",
        f"{_EXPLICIT}; {_TOOLKIT}",
        "built",
    ),
    Rule(
        15,
        "residual",
        "The skip connection into an addition is quantized, so that it fuses with the layer.",
        _all("warning"),
        placement.residuals,
        f"{_FIX} uses a grid that the tensor has already; else {_FLOAT}",
        _TOOLKIT,
        "built",
        repair="the addition reads the tensor behind its Q/DQ, where it has one",
    ),
    Rule(
        16,
        "integer-bias",
        "Biases are float.",
        _all("error"),
        quantized.integer_biases,
        f"{_FIX}: biases become float; ONNX Runtime's option is QuantizeBias=False",
        _OPERATORS,
        "refused",
        repair="the float bias that the integers stand for",
    ),
    Rule(
        17,
        "activation-split",
        "No Q/DQ stands between a layer and its activation.",
        _all("warning"),
        placement.split_activations,
        f"{_FIX} moves it behind the activation, or leaves it out",
        "general advice",
        "built",
        repair="the pair moves behind Relu, LeakyRelu or Clip; before others it is left out",
    ),
    Rule(
        18,
        "weight-range",
        "Weights are -127 to 127.",
        _all("warning"),
        quantized.weight_range,
        f"{_FIX}: the channel's scale is fitted anew",
        "general advice",
        "built",
        repair="scales of these channels are fitted anew",
    ),
    Rule(
        19,
        "static-shape",
        "Shapes are fixed; on a DLA core, batches are at most 4096 and sides at most 8192.",
        _all("warning", rtx="error"),
        operators.fixed_shapes,
        "give --input-size HxW with --fix, or build with an optimization profile",
        _DLA,
        "not built without an optimization profile",
        repair="with --input-size, and batch 1 where it is open",
        dla="error",
    ),
    Rule(
        20,
        "dla-release",
        "The release runs on DLA cores: up to 10.7, and from 11.4 on.",
        {},
        operators.dla_release,
        "name a release that does: --trt-version 10.3 is JetPack 6's",
        "TensorRT documentation, working with DLA, 11.3 and 11.4.1",
        "not asked",
        dla="error",
    ),
)
