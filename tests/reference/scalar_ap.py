"""COCO average precision, one number at a time, from the protocol's text.

https://cocodataset.org/#detection-eval: detections by falling score; each takes the free
object of its class that it overlaps best, at the threshold or above; what is left over and
lies on a crowd is not counted; precision is made monotone from the right and read at 101
recalls. Shares nothing with what it checks.
"""

from __future__ import annotations


def average_precision(truths, found, iou_threshold):
    """One class. truths: per image [(box, crowd)]; found: per image [(box, score)].

    Returns None where no object of the class is to be found.
    """
    wanted = sum(1 for image in truths for _, crowd in image if not crowd)
    if wanted == 0:
        return None
    answers = []
    for objects, boxes in zip(truths, found, strict=True):
        answers += _image_answers(objects, boxes, iou_threshold)
    answers.sort(key=lambda answer: -answer[0])  # stable, as images come
    precisions, recalls, right, wrong = [], [], 0, 0
    for _, verdict in answers:
        if verdict == "ignored":
            continue
        right += verdict == "right"
        wrong += verdict == "wrong"
        precisions.append(right / (right + wrong))
        recalls.append(right / wanted)
    total = 0.0
    for step in range(101):
        reached = [p for p, r in zip(precisions, recalls, strict=True) if r >= step / 100 - 1e-12]
        total += max(reached, default=0.0)
    return total / 101


def mean_average_precision(truths, found, classes):
    """Mean over 10 thresholds and over the classes that occur.

    truths: per image [(box, class, crowd)]; found: per image [(box, score, class)].
    """
    values = []
    for kind in classes:
        own = [[(b, crowd) for b, k, crowd in image if k == kind] for image in truths]
        hits = [[(b, s) for b, s, k in image if k == kind] for image in found]
        for step in range(10):
            value = average_precision(own, hits, 0.5 + 0.05 * step)
            if value is not None:
                values.append(value)
    return sum(values) / len(values)


def _image_answers(objects, boxes, iou_threshold):
    taken = set()
    answers = []
    for box, score in sorted(boxes, key=lambda row: -row[1])[:100]:
        best, best_iou = None, iou_threshold - 1e-10
        for index, (other, crowd) in enumerate(objects):
            if not crowd and index not in taken and overlap(box, other) >= best_iou:
                best, best_iou = index, overlap(box, other)
        if best is not None:
            taken.add(best)
            answers.append((score, "right"))
            continue
        on_crowd = any(
            crowd and crowd_overlap(box, other) >= iou_threshold - 1e-10 for other, crowd in objects
        )
        answers.append((score, "ignored" if on_crowd else "wrong"))
    return answers


def overlap(a, b):
    shared = _shared(a, b)
    return shared / (_area(a) + _area(b) - shared)


def crowd_overlap(a, crowd):
    return _shared(a, crowd) / _area(a)


def _shared(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def _area(box):
    return (box[2] - box[0]) * (box[3] - box[1])
