"""Tiny seeded detectors (and look-alikes) in ONNX, in the layouts that real exporters write.

With ``planted=True`` the weights are set by hand so that a pure red, green or blue rectangle
of 16 to 32 pixels (class 0, 1, 2) gives a box around it: ``scenes.py`` draws such pictures.
"""

from models_anchors import unknown, yolo_fastestv2, yolov5, yolov5_raw, yolov5_relative, yolov6
from models_distances import fastestdet, nanodet, nanodet_plus, picodet, yolov6_lite
from models_faces import retina, yunet
from models_inputs import batched, fed_with, halved, with_size_input
from models_other import classifier, end_to_end, priors, ssd, yolox
from models_selected import SELECTED, detr, selected
from models_yolov8 import oriented, pose, segmenter, ultralytics_metadata, yolov8
from netparts import renamed, reordered

__all__ = [
    "SELECTED",
    "batched",
    "classifier",
    "detr",
    "end_to_end",
    "fastestdet",
    "fed_with",
    "halved",
    "nanodet",
    "nanodet_plus",
    "oriented",
    "picodet",
    "pose",
    "priors",
    "renamed",
    "reordered",
    "retina",
    "segmenter",
    "selected",
    "ssd",
    "ultralytics_metadata",
    "unknown",
    "with_size_input",
    "yolo_fastestv2",
    "yolov5",
    "yolov5_raw",
    "yolov5_relative",
    "yolov6",
    "yolov6_lite",
    "yolov8",
    "yolox",
    "yunet",
]
