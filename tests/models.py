"""Tiny seeded detectors (and look-alikes) in ONNX, in the layouts that real exporters write.

With ``planted=True`` the weights are set by hand so that a pure red, green or blue rectangle
of 16 to 32 pixels (class 0, 1, 2) gives a box around it: ``scenes.py`` draws such pictures.
"""

from models_other import classifier, end_to_end, priors, ssd, yolov5, yolox
from models_yolov8 import oriented, pose, segmenter, ultralytics_metadata, yolov8
from netparts import renamed, reordered

__all__ = [
    "classifier",
    "end_to_end",
    "oriented",
    "pose",
    "priors",
    "renamed",
    "reordered",
    "segmenter",
    "ssd",
    "ultralytics_metadata",
    "yolov5",
    "yolov8",
    "yolox",
]
