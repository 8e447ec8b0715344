"""What is certain of a DeepStream configuration for a detector.

Fields: DeepStream documentation, "Gst-nvinfer", which computes
``y = net-scale-factor * (x - offsets)``.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgecv_cli.detector.spec import DetectorSpec, InputSpec

_MODES = {"fp32": 0, "int8": 1, "fp16": 2}


def config_text(spec: DetectorSpec, precision: str) -> str:
    """Return ``config_infer_primary.txt``; what is not certain stands in it as a comment.

    Args:
        spec: how pictures are fed, and what the classes are.
        precision: ``fp32``, ``fp16`` or ``int8``: what the engine was built for.
    """
    lines = [
        "# Made by edgecv convert-trt: what the detector's spec says for certain. What is missing",
        "# stands in comments that begin with MISSING.",
        "[property]",
        "gpu-id=0",
        "gie-unique-id=1",
        "process-mode=1",
        "network-type=0",
        "batch-size=1",
        "interval=0",
        "model-engine-file=model.engine",
        "labelfile-path=labels.txt",
        f"num-detected-classes={len(spec.classes)}",
        f"network-mode={_MODES[precision]}",
        *_feeding(spec.input),
        f"# MISSING parse-bbox-func-name, custom-lib-path: a parser of family {spec.family}, whose",
        "# outputs DeepStream does not read by itself (manifest.json has the whole spec).",
        "cluster-mode=2",
        "",
        "[class-attrs-all]",
        f"pre-cluster-threshold={spec.score_threshold:g}",
        f"nms-iou-threshold={spec.nms_iou:g}",
    ]
    return "\n".join(lines) + "\n"


def labels_text(spec: DetectorSpec) -> str:
    """Return ``labels.txt``: a class a line, in the order of the model's indices."""
    return "".join(" ".join(name.split()) + "\n" for name in spec.classes)


def _feeding(fed: InputSpec) -> Iterator[str]:
    height, width = fed.size
    yield f"infer-dims=3;{height};{width}"
    yield f"network-input-order={int(fed.layout == 'nhwc')}"
    yield f"model-color-format={int(fed.color == 'bgr')}"
    yield from _scaling(fed)
    yield f"maintain-aspect-ratio={int(fed.resize != 'stretch')}"
    yield f"symmetric-padding={int(fed.resize == 'letterbox')}"
    if fed.resize != "stretch" and fed.pad:
        yield f"# MISSING the colour beside a picture: the model was fed {fed.pad}, nvinfer pads"
        yield "# with 0."


def _scaling(fed: InputSpec) -> Iterator[str]:
    if fed.dtype == "uint8":
        yield "# MISSING net-scale-factor: the model takes bytes, and nvinfer feeds floats."
        return
    if len(set(fed.std)) > 1:
        yield f"# MISSING net-scale-factor: std differs by channel ({_list(fed.std)}), and nvinfer"
        yield "# has one factor for all; scale with Gst-nvdspreprocess instead."
        return
    yield f"net-scale-factor={1 / (fed.scale * fed.std[0]):.9g}"
    if any(fed.mean):
        yield f"offsets={_list(tuple(part * fed.scale for part in fed.mean))}"


def _list(values: tuple[float, ...]) -> str:
    return ";".join(f"{value:.7g}" for value in values)
