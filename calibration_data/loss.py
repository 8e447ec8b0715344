"""Task-aligned assignment and the two losses that use it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

SCORE_POWER, OVERLAP_POWER = 0.5, 6.0
CANDIDATES = 10
"""Cells that one object may claim."""
BOX_WEIGHT = 2.5


def overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and generalized IoU of ltrb boxes [..., 4], broadcast against each other."""
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    inter = (high - low).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inter
    hull_low = torch.minimum(a[..., :2], b[..., :2])
    hull_high = torch.maximum(a[..., 2:], b[..., 2:])
    hull = (hull_high - hull_low).prod(-1)
    iou = inter / (union + 1e-7)
    return iou, iou - (hull - union) / (hull + 1e-7)


@dataclass(frozen=True)
class Assignment:
    """What each cell should say."""

    scores: Tensor
    """[b, cells, classes], the soft target of each class."""
    boxes: Tensor
    """[b, cells, 4], ltrb in pixels; meaningful where `positive`."""
    positive: Tensor
    """bool [b, cells]."""


@torch.no_grad()
def assign(
    scores: Tensor, boxes: Tensor, centres: Tensor, true_boxes: Tensor, true_labels: Tensor
) -> Assignment:
    """Give each object the cells inside it that predict it best.

    `scores` [b, cells, classes] and `boxes` [b, cells, 4] are predictions, `centres` [cells, 2];
    the truth is padded: `true_boxes` [b, n, 4], `true_labels` [b, n] with -1 for none.
    """
    real = (true_labels >= 0)[..., None]
    inside = (centres > true_boxes[..., None, :2]) & (centres < true_boxes[..., None, 2:])
    allowed = inside.all(-1) & real
    iou = overlaps(true_boxes[:, :, None], boxes[:, None])[0].clamp(min=0) * allowed
    wanted = true_labels.clamp(min=0)[..., None].expand(-1, -1, scores.shape[1])
    said = scores.mT.gather(1, wanted)
    # the small constant keeps an object that nothing overlaps yet in the game
    metric = (said.pow(SCORE_POWER) * iou.pow(OVERLAP_POWER) + 1e-9) * allowed
    best, at = metric.topk(CANDIDATES, -1)
    claimed = torch.zeros_like(metric, dtype=torch.bool).scatter_(-1, at, best > 0)
    # a cell that several objects claim goes to the one it overlaps most
    owner = torch.where(claimed, iou + 1e-9, 0.0).argmax(1)
    claimed &= functional.one_hot(owner, claimed.shape[1]).mT.bool()
    metric = metric * claimed
    peak = metric.amax(-1, keepdim=True)
    reach = (iou * claimed).amax(-1, keepdim=True)
    strength = (metric / (peak + 1e-12) * reach).amax(1)
    positive = claimed.any(1)
    labels = true_labels.clamp(min=0).gather(1, owner)
    targets = functional.one_hot(labels, scores.shape[-1]) * (strength * positive)[..., None]
    picked = true_boxes.gather(1, owner[..., None].expand(-1, -1, 4))
    return Assignment(targets, picked, positive)


def detection_loss(
    logits: Tensor, boxes: Tensor, centres: Tensor, true_boxes: Tensor, true_labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the class loss (BCE on soft targets) and the box loss (GIoU), both scalars."""
    target = assign(logits.sigmoid(), boxes, centres, true_boxes, true_labels)
    total = target.scores.sum().clamp(min=1)
    classes = functional.binary_cross_entropy_with_logits(logits, target.scores, reduction="sum")
    mine = target.positive
    weight = target.scores.sum(-1)[mine]
    gap = 1 - overlaps(boxes[mine], target.boxes[mine])[1]
    return classes / total, BOX_WEIGHT * (gap * weight).sum() / total
