"""Class names of the COCO data set, in the two numberings that detectors use.

The category ids are those of the annotations of https://cocodataset.org: 80 of 1..90.
"""

from __future__ import annotations

BACKGROUND = "background"
UNUSED = "N/A"

# fmt: off
_CATEGORIES = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train",
    8: "truck", 9: "boat", 10: "traffic light", 11: "fire hydrant", 13: "stop sign",
    14: "parking meter", 15: "bench", 16: "bird", 17: "cat", 18: "dog", 19: "horse", 20: "sheep",
    21: "cow", 22: "elephant", 23: "bear", 24: "zebra", 25: "giraffe", 27: "backpack",
    28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase", 34: "frisbee", 35: "skis",
    36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat", 40: "baseball glove",
    41: "skateboard", 42: "surfboard", 43: "tennis racket", 44: "bottle", 46: "wine glass",
    47: "cup", 48: "fork", 49: "knife", 50: "spoon", 51: "bowl", 52: "banana", 53: "apple",
    54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot", 58: "hot dog", 59: "pizza",
    60: "donut", 61: "cake", 62: "chair", 63: "couch", 64: "potted plant", 65: "bed",
    67: "dining table", 70: "toilet", 72: "tv", 73: "laptop", 74: "mouse", 75: "remote",
    76: "keyboard", 77: "cell phone", 78: "microwave", 79: "oven", 80: "toaster", 81: "sink",
    82: "refrigerator", 84: "book", 85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear",
    89: "hair drier", 90: "toothbrush",
}
# fmt: on

COCO80 = tuple(_CATEGORIES.values())
"""The 80 names in id order: index 0 is person."""

COCO91 = (BACKGROUND, *(_CATEGORIES.get(index, UNUSED) for index in range(1, 91)))
"""Index = category id; 0 is the background, ids that COCO never used are ``N/A``."""

PRESETS = {"coco80": COCO80, "coco91": COCO91}


def default_classes(count: int) -> tuple[tuple[str, ...], str]:
    """Return names for ``count`` classes, and the words to say where they come from."""
    if count == len(COCO80):
        return COCO80, "class names coco80, because there are 80"
    if count == len(COCO91):
        return COCO91, "class names coco91, because there are 91"
    return tuple(f"class_{index}" for index in range(count)), "class names by number"
