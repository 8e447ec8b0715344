"""A lesson of objects: boxes and scores that a network decodes, held against what is to be found.

Teacher and student need share nothing but classes: each object goes to those candidates of the
student that lie on it and say it best, as TOOD assigns labels (Feng et al. 2021, "TOOD:
Task-aligned One-stage Object Detection", section 3.2). Their scores are pulled to how sure the
teacher is and how well the box fits (VarifocalNet, Zhang et al. 2021, equation 2), all other
scores to 0, and their boxes to the object's by generalised IoU (Rezatofighi et al. 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import ModuleType
from typing import Any

import onnx

from edgecv_cli.compress.training.network import torch_module
from edgecv_cli.compress.training.pictures import Feed, Shown
from edgecv_cli.compress.training.program import Program, program_of
from edgecv_cli.core.errors import UsageError
from edgecv_cli.detector.ingraph import decoded
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.headsplit import value_specs

BOXES, SCORES = "learned_boxes", "learned_scores"
_MOST = 10  # candidates that one object teaches
_FIT = 4.0  # power of the IoU in how well a candidate says an object; its score has 1
_BACKGROUND, _FOCUS = 0.75, 2.0
_ON = 0.5  # IoU from which on a candidate lies on an object
EPS = 1e-6
"""Nearest that a score comes to 0 and 1."""
BOX_WEIGHT = 2.0
"""What boxes count for, where scores count for 1."""


def decoded_program(
    model: onnx.ModelProto, spec: DetectorSpec, *, also: Collection[str] = ()
) -> Program:
    """Return a detector as a program that gives its boxes and scores.

    Args:
        model: normalised, batch 1.
        spec: how its outputs are read.
        also: tensors inside that a run gives back too.

    Raises:
        UsageError: it selects boxes itself, or takes more than a picture.
        ModelError: an operator is not known to training, or the outputs contradict the spec.
    """
    try:
        made = decoded(model, spec, value_specs(model), boxes=BOXES, scores=SCORES)
    except UsageError as error:
        raise UsageError(
            f"the student can't be taught objects: {error.problem}",
            remedy="give a student without NMS (`edgecv reshape --nms none` takes it out) whose "
            "one input is the picture",
        ) from error
    return program_of(made.model, also=also)


def has_candidates(spec: DetectorSpec) -> bool:
    """Whether a detector's outputs are candidates, which :func:`decoded_program` can decode: it
    has not selected among them, and takes a picture alone."""
    held = {role for tensor in spec.outputs.tensors for role in tensor.holds}
    return not (held & {"score", "label"} or spec.extra_inputs)


class LocatedLesson:
    """Objects of each picture, as a teacher or labels have them.

    Args:
        spec: the student's.
        digest: of who says what is to be found.

    Raises:
        MissingDependencyError: torch is not installed.
    """

    def __init__(self, spec: DetectorSpec, digest: str) -> None:
        self._torch = torch_module()
        self.digest = f"objects by {digest}"
        self._size = spec.input.size
        self._column = {
            index: place
            for place, index in enumerate(
                index for index in range(len(spec.classes)) if index != spec.background
            )
        }

    def __call__(self, made: Mapping[str, Any], feeds: Sequence[Feed]) -> Any:
        """Return the mean loss of the feeds, a tensor of one number."""
        return self._mean(self._lost, made, feeds)

    def judged(self, made: Mapping[str, Any], feeds: Sequence[Feed]) -> Any:
        """Return 1 - the soft Dice coefficient of objects found, 0 where all are and nothing else.

        An object counts by how sure its teacher is, as found by the best IoU x score of a
        candidate; a candidate that lies on no object of its class is a false alarm by its score
        squared, as a tenth: ten lie on what is one object.
        """
        return self._mean(self._missed, made, feeds)

    def _mean(
        self, of: Callable[[Any, Any, Shown], Any], made: Mapping[str, Any], feeds: Sequence[Feed]
    ) -> Any:
        corners, scores = self._said(made)
        found = []
        for place, feed in enumerate(feeds):
            assert isinstance(feed, Shown)
            found.append(of(corners[place], scores[place], feed))
        return self._torch.stack(found).mean()

    def _lost(self, corners: Any, scores: Any, feed: Shown) -> Any:
        torch = self._torch
        wanted = torch.zeros_like(scores)
        found = self._objects(feed, scores.device)
        if found is None:
            return self._scored(scores, wanted, wanted.sum())
        objects, sure, kinds = found
        with torch.no_grad():
            rows, of, worth = self._assigned(corners, scores, objects, kinds)
            weight = worth * sure[of]
            wanted[rows, kinds[of]] = weight
            whole = weight.sum()
        off = 1 - giou(torch, corners[rows], objects[of])
        return self._scored(scores, wanted, whole) + BOX_WEIGHT * (off * weight).sum() / (
            whole.clamp(min=1)
        )

    def _missed(self, corners: Any, scores: Any, feed: Shown) -> Any:
        torch = self._torch
        found = self._objects(feed, scores.device)
        false = scores.square()
        if found is None:
            return false.sum() / (false.sum() + _MOST)
        objects, sure, kinds = found
        overlap = self._iou(objects[:, None], corners[None])
        best = (overlap * torch.minimum(scores[:, kinds].T, sure[:, None])).max(dim=1).values
        on = torch.zeros_like(scores)
        on.scatter_reduce_(1, kinds.expand(len(on), -1), overlap.T, reduce="amax")
        alarms = false[on < _ON].sum() / _MOST
        return 1 - 2 * best.sum() / (best.sum() + sure.sum() + alarms)

    def _said(self, made: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return boxes [..., N, 4] by their corners, and scores [..., N, classes], neither 0 nor
        1."""
        return corners_of(self._torch, made[BOXES]), made[SCORES].clamp(EPS, 1 - EPS)

    def _objects(self, feed: Shown, device: Any) -> tuple[Any, Any, Any] | None:
        """Return boxes [n, 4] in 0..1 of the input, scores [n] and score columns [n]."""
        torch, seen = self._torch, feed.objects
        height, width = self._size
        sides = torch.tensor([width, height, width, height], dtype=torch.float32)
        boxes = torch.as_tensor(seen.boxes) / sides
        columns = torch.tensor([self._column.get(int(one), -1) for one in seen.class_ids])
        sound = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1) & (columns >= 0)
        if not bool(sound.any()):
            return None
        kept = boxes[sound], torch.as_tensor(seen.scores)[sound], columns[sound]
        return kept[0].to(device), kept[1].to(device), kept[2].to(device)

    def _assigned(
        self, corners: Any, scores: Any, objects: Any, kinds: Any
    ) -> tuple[Any, Any, Any]:
        """Return candidates that are taught, the object of each, and what each is worth, 0..1."""
        torch = self._torch
        overlap = self._iou(objects[:, None], corners[None])
        centres = (corners[:, :2] + corners[:, 2:]) / 2
        inside = (centres[None] > objects[:, None, :2]) & (centres[None] < objects[:, None, 2:])
        said = scores[:, kinds].T * overlap.clamp(min=EPS) ** _FIT
        said = torch.where(inside.all(dim=2), said, said * EPS)
        best, rows = said.topk(min(_MOST, said.shape[1]), dim=1)
        fit = overlap.gather(1, rows)
        # an object that nothing lies on teaches the one candidate that is nearest to it
        kept = inside.all(dim=2).gather(1, rows)
        kept[:, 0] |= ~kept.any(dim=1)
        worth = best / best[:, :1].clamp(min=1e-30) * fit.max(dim=1, keepdim=True).values
        device = rows.device
        of = torch.arange(len(objects), device=device)[:, None].expand_as(rows)
        rows, of, worth, fit = (one[kept] for one in (rows, of, worth, fit))
        order = torch.argsort(fit, descending=True, stable=True)
        rows, of, worth = rows[order], of[order], worth[order]
        # a candidate on two objects is taught by the one that it fits better
        places = torch.arange(len(rows), device=device)
        first = torch.full((scores.shape[0],), len(rows), dtype=torch.long, device=device)
        first.scatter_reduce_(0, rows, places, reduce="amin")
        mine = first[rows] == places
        return rows[mine], of[mine], worth[mine].clamp(min=0.05, max=1)

    def _scored(self, scores: Any, wanted: Any, whole: Any) -> Any:
        torch = self._torch
        apart = torch.nn.functional.binary_cross_entropy(scores, wanted, reduction="none")
        weight = torch.where(wanted > 0, wanted, _BACKGROUND * scores.detach() ** _FOCUS)
        return (apart * weight).sum() / whole.clamp(min=1)

    def _iou(self, a: Any, b: Any) -> Any:
        inter, union, _ = _areas(self._torch, a, b)
        return inter / union.clamp(min=EPS)


def corners_of(torch: ModuleType, boxes: Any) -> Any:
    """Return boxes [..., 4] of centre x, y, width and height as their corners."""
    middle, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([middle - half, middle + half], dim=-1)


def giou(torch: ModuleType, a: Any, b: Any) -> Any:
    """Return the generalised IoU, -1..1, of boxes [..., 4] given by their corners."""
    inter, union, hull = _areas(torch, a, b)
    return inter / union.clamp(min=EPS) - (hull - union) / hull.clamp(min=EPS)


def _areas(torch: ModuleType, a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Return areas of the intersection, the union and the hull of boxes."""
    top, bottom = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inter = (bottom - top).clamp(min=0).prod(dim=-1)
    own, other = ((one[..., 2:] - one[..., :2]).clamp(min=0).prod(dim=-1) for one in (a, b))
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    return inter, own + other - inter, hull.clamp(min=0).prod(dim=-1)
