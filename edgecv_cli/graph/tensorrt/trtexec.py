"""The command line that builds an engine with classic TensorRT's trtexec.

Options by release: samples/common/sampleOptions.cpp of NVIDIA/TensorRT 8.6.1, 10.16 and 11.1.
"""

from __future__ import annotations

from edgecv_cli.graph.tensorrt.target import TrtTarget


def trtexec_line(target: TrtTarget, *, quantized: bool) -> str | None:
    """Return the command for ``model.onnx``; None for TensorRT-RTX, which has another tool.

    Args:
        target: what it is for.
        quantized: whether the graph holds Q/DQ.
    """
    if target.rtx:
        return None
    words = ["trtexec", "--onnx=model.onnx", "--saveEngine=model.engine"]
    words += ["--timingCacheFile=timing.cache", "--memPoolSize=workspace:2048"]
    return " ".join(words + _precision(target, quantized) + _place(target))


def _precision(target: TrtTarget, quantized: bool) -> list[str]:
    """Return the flags that decide precision: none from 11.x on, where the graph does alone."""
    if target.generation == "11":
        return ["--skipInference"]
    if quantized and target.generation == "10" and not target.dla:
        return ["--stronglyTyped"]
    if quantized or target.precision == "int8":
        return ["--int8", "--fp16"]
    half = target.precision == "fp16" or target.dla  # DLA cores have no float32
    return ["--fp16"] if half else []


def _place(target: TrtTarget) -> list[str]:
    return ["--useDLACore=0", "--allowGPUFallback"] if target.dla else []
