"""A lesson of candidates: what a teacher of the same heads says at each place, decoded.

From weights drawn anew, raw predictions teach little: nearly all of them are background. Here a
candidate counts by how much its score is off (quality focal loss: Li et al. 2020, "Generalized
Focal Loss", equation 1, with a power of 1), and its box by how sure the teacher is of it
(generalised IoU: Rezatofighi et al. 2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from edgecv_cli.compress.training.hints import HintLoss
from edgecv_cli.compress.training.located import (
    BOX_WEIGHT,
    BOXES,
    EPS,
    SCORES,
    corners_of,
    decoded_program,
    giou,
)
from edgecv_cli.compress.training.mode import PLAIN, Mode
from edgecv_cli.compress.training.network import Network, torch_module
from edgecv_cli.compress.training.pictures import Feed, Pictures
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.io import content_digest

_SURE = 0.05  # score from which on a candidate's box is taught


class DenseLesson:
    """Boxes and scores of every candidate of a teacher whose candidates are the student's.

    Args:
        teacher: normalised; its decoded form has the same candidates in the same order.
        spec: how it is read.
        mode: how the teacher is run.
        hints: feature maps that are learned too: the teacher's -> what the student makes of it.
        pictures: what is fed; where there are hints, the held-out ones say how much maps vary.

    Raises:
        UsageError: it selects boxes itself.
        ModelError: an operator of it is not known to training.
        MissingDependencyError: torch is not installed.
    """

    def __init__(
        self,
        teacher: onnx.ModelProto,
        spec: DetectorSpec,
        mode: Mode = PLAIN,
        *,
        hints: Mapping[str, str] | None = None,
        pictures: Pictures | None = None,
    ) -> None:
        self._torch = torch_module()
        told = f" and {' '.join(hints)}" if hints else ""
        self.digest = f"candidates of {content_digest(teacher)}{told}"
        program = decoded_program(teacher, spec, also=tuple(hints or ()))
        self._teacher = Network(program, trained=False, mode=mode)
        self._hints = None
        if hints and pictures is not None:
            with self._torch.no_grad():
                seen = [self._teacher(feed) for feed in pictures.held_out()]
            maps = [{name: one[name].float() for name in hints} for one in seen]
            self._hints = HintLoss(self._torch, hints, maps)

    def __call__(self, made: Mapping[str, Any], feeds: Sequence[Feed]) -> Any:
        """Return the mean loss of the feeds, a tensor of one number."""
        with self._torch.no_grad():
            wanted = self._teacher.together(feeds)
        lost = self._lost(made, wanted)
        return lost if self._hints is None else lost + self._hints(made, wanted)

    def judged(self, made: Mapping[str, Any], feeds: Sequence[Feed]) -> Any:
        """Return the loss of boxes and scores: its targets stay."""
        with self._torch.no_grad():
            wanted = self._teacher.together(feeds)
        return self._lost(made, wanted)

    def _lost(self, made: Mapping[str, Any], wanted: Mapping[str, Any]) -> Any:
        torch = self._torch
        with torch.no_grad():
            theirs = wanted[SCORES].clamp(0, 1)
            sure = theirs.max(dim=-1).values
            weight = torch.where(sure > _SURE, sure, torch.zeros_like(sure))
            whole = weight.sum(dim=-1).clamp(min=1)
        scores = made[SCORES].clamp(EPS, 1 - EPS)
        apart = torch.nn.functional.binary_cross_entropy(scores, theirs, reduction="none")
        # at its least, a soft target's cross-entropy is the target's own entropy
        least = torch.nn.functional.binary_cross_entropy(
            theirs.clamp(EPS, 1 - EPS), theirs, reduction="none"
        )
        told = (apart - least).clamp(min=0) * (scores.detach() - theirs).abs()
        off = 1 - giou(torch, corners_of(torch, made[BOXES]), corners_of(torch, wanted[BOXES]))
        lost = told.sum(dim=(-2, -1)) + BOX_WEIGHT * (off * weight).sum(dim=-1)
        return (lost / whole).mean()
