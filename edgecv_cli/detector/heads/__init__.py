"""The detector families that are recognised and decoded."""

from __future__ import annotations

from collections.abc import Sequence

from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.heads.base import Decoder, Head, Reading
from edgecv_cli.detector.heads.detr import Detr
from edgecv_cli.detector.heads.end2end import EndToEnd
from edgecv_cli.detector.heads.fastestdet import FastestDet
from edgecv_cli.detector.heads.generic import Generic
from edgecv_cli.detector.heads.nanodet import NanoDet
from edgecv_cli.detector.heads.nanodet_plus import NanoDetPlus
from edgecv_cli.detector.heads.picodet import PicoDet
from edgecv_cli.detector.heads.retina import Retina
from edgecv_cli.detector.heads.ssd import Ssd
from edgecv_cli.detector.heads.yolo_fastestv2 import YoloFastestV2
from edgecv_cli.detector.heads.yolov5 import YoloV5
from edgecv_cli.detector.heads.yolov6_lite import YoloV6Lite
from edgecv_cli.detector.heads.yolov8 import YoloV8
from edgecv_cli.detector.heads.yolox import YoloX
from edgecv_cli.detector.heads.yunet import YuNet
from edgecv_cli.detector.spec import DetectorSpec

__all__ = ["HEADS", "Decoder", "Head", "Reading", "build_decoder", "head_of"]

HEADS: tuple[Head, ...] = (
    YoloV5(),
    YoloV8(),
    YoloX(),
    YoloV6Lite(),
    NanoDet(),
    NanoDetPlus(),
    PicoDet(),
    Ssd(),
    FastestDet(),
    YoloFastestV2(),
    Retina(),
    YuNet(),
    Detr(),
    EndToEnd(),
    Generic(),
)


def head_of(family: str) -> Head:
    """Return the head of a family (KeyError if there is none: specs are validated before)."""
    return {head.family: head for head in HEADS}[family]


def build_decoder(spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
    """Return the decoder that a spec asks for.

    Args:
        spec: a detector's spec.
        outputs: the outputs of the network that runs, which must fit it.

    Raises:
        ModelError: the outputs contradict the spec.
    """
    return head_of(spec.family).decoder(spec, outputs)
