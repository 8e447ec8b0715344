"""DETR and its kin: a fixed set of queries, each a box in 0..1 and class scores, no NMS.

DETR (Carion et al. 2020) takes a softmax whose last class is "no object"; Deformable DETR (Zhu
et al. 2021), DINO, RT-DETR (Zhao et al. 2024) and RF-DETR take a sigmoid a class. Preprocessing
follows the reference implementations: all normalise by ImageNet's mean and deviation but
RT-DETR, which divides by 255 alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.classes import BACKGROUND, COCO91, UNUSED, default_classes
from edgecv_cli.detector.decoding import DenseDecoder
from edgecv_cli.detector.heads.base import Decoder, Reading, dense_reading
from edgecv_cli.detector.heads.queries import Queries, find_queries
from edgecv_cli.detector.heads.relatives import TASKS, refuse
from edgecv_cli.detector.heads.views import image_tensor
from edgecv_cli.detector.probing import shapes_of
from edgecv_cli.detector.spec import DetectorSpec, Fed, InputSpec, OutputSpec, Role
from edgecv_cli.graph.facts import GraphFacts

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_FOCAL = -2.0  # focal loss starts every class's bias at -4.6 (Lin et al. 2017)
_MOST_CLASSES = 1000  # of one output with boxes and scores; longer rows are candidates
_SOFTMAX_CLASSES = len(COCO91) + 1  # ids 0..90 and "no object" (Carion et al. 2020)


class Detr:
    """The DETR family."""

    family: ClassVar[str] = "detr"
    defaults: ClassVar[DetectorSpec] = DetectorSpec(
        family="detr",
        input=InputSpec(
            size=(640, 640),
            color="rgb",
            scale=255.0,
            mean=_IMAGENET[0],
            std=_IMAGENET[1],
            resize="stretch",
        ),
        outputs=OutputSpec(),
        classes=("object",),
        boxes="cxcywh",
        normalized=True,
        score_threshold=0.5,
        # queries are trained to find each object once
        nms_iou=1.0,
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return the readings as queries; two where softmax and sigmoid are both open.

        Raises:
            UnrecognisedError: there are masks besides.
        """
        return [reading for found in find_queries(facts) for reading in _readings(found, facts)]

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:
        """Take the first two outputs [1, N, 4] and [1, N, classes]."""
        for boxes, scores, count in _pairs(facts):
            applied = told.get("activations", "sigmoid")
            names, background, words = _classes(count, softmax=applied == "softmax")
            known = self.defaults.replace(activations=applied, background=background, classes=names)
            outputs = _outputs(boxes, scores)
            return dense_reading(
                known.replace(extra_inputs=_masks(facts)),
                facts,
                outputs,
                source="the usual DETR export",
                classes=(names, words),
                confidence=0.5,
                evidence=["family detr: as told"],
                assumed={"activations": f"{applied} still to be applied to the scores"},
            )
        raise UnrecognisedError(
            "no two outputs have the shapes [1,N,4] and [1,N,classes] of family detr",
            remedy="give another `family` in --spec",
        )

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder of boxes and scores."""
        return DenseDecoder(spec, outputs)


def _outputs(boxes: str, scores: str) -> OutputSpec:
    if boxes == scores:
        return OutputSpec.joint(boxes, ("boxes", "scores"), channels_last=True)
    names: dict[Role, str] = {"boxes": boxes, "scores": scores}
    return OutputSpec.apart(names, channels_last=True)


def _pairs(facts: GraphFacts) -> Iterator[tuple[str, str, int]]:
    shapes = {name: shape for name, shape in shapes_of(facts).items() if len(shape) == 3}
    for boxes, first in shapes.items():
        for scores, second in shapes.items():
            columns = second[2]
            if boxes != scores and first[2] == 4 and first[1] == second[1] and columns:
                yield boxes, scores, columns
    for name, shape in shapes.items():
        if shape[2] is not None and 4 < shape[2] <= 4 + _MOST_CLASSES:
            yield name, name, shape[2] - 4


def _readings(found: Queries, facts: GraphFacts) -> Iterator[Reading]:
    _refuse_masks(found, facts)
    kind, seen = _activation(found)
    bare = kind is not None and found.applied == "none" and _says_nothing(found)
    for applied in (kind,) if kind else ("sigmoid", "softmax"):
        left = found.applied == "none"
        names, background, naming = _classes(
            found.classes, softmax=applied == "softmax", cut=_is_cut(found)
        )
        known = Detr.defaults.replace(
            boxes=found.box.layout,
            normalized=found.box.normalized,
            activations=applied if left else "none",
            classes=names,
            background=background,
            extra_inputs=_masks(facts),
        )
        known, source = _preprocessed(known, found, facts, softmax=applied == "softmax")
        words = f"a {applied} still to be applied to the scores"
        assumed = {"activations": words} if bare or not kind else {}
        if known.extra_inputs:
            assumed["extra_inputs"] = "the mask of the picture's own pixels is all ones"
        yield dense_reading(
            known,
            facts,
            _outputs(found.boxes, found.scores),
            source=source,
            classes=(names, naming),
            confidence=(0.8 if bare else 0.95 if kind else 0.5),
            evidence=[_shape_words(found), found.box.words, seen],
            assumed=assumed,
            choice={"activations": known.activations} if left else None,
        )


def _shape_words(found: Queries) -> str:
    if found.joint:
        where = f"output '{found.boxes}' holds {found.count} rows of 4 + {found.classes} channels"
    else:
        where = (
            f"outputs '{found.boxes}' and '{found.scores}' hold {found.count} boxes and "
            f"{found.count} x {found.classes} scores"
        )
    return f"{where}, said by layers with a row a query and not by maps: queries"


def _activation(found: Queries) -> tuple[str | None, str]:
    """Return what makes scores of the logits, or None where it is open, and what was seen."""
    rest, high, low = (
        part.mean() for part in (found.logits.rest, found.logits.high, found.logits.low)
    )
    seen = f"scores read {rest:.3f} at rest, {high:.3f} with all layers at +8 and {low:.3f} at -8"
    if found.applied != "none":
        return found.applied, f"{seen}: {found.applied} applied"
    if found.bias is not None:
        middle, last = float(np.median(found.bias)), float(found.bias[-1])
        words = f"{seen}: logits; the classes' biases are {middle:.2f} in the middle"
        if _focal(found.bias):
            return "sigmoid", f"{words}, as focal loss leaves them: a sigmoid"
        if found.classes == _SOFTMAX_CLASSES or _no_object(found.bias):
            return "softmax", f"{words} and {last:.2f} for the last, 'no object': a softmax"
        return _by_boxes(found, words)
    if found.classes == _SOFTMAX_CLASSES:
        return "softmax", f"{seen}: logits; 92 of them are COCO's ids and 'no object': a softmax"
    return None, f"{seen}: logits, from a layer without a bias"


def _focal(bias: NDArray[Any]) -> bool:
    return bool(
        np.median(bias) < _FOCAL and np.quantile(bias, 0.9) < _FOCAL / 2 and bias[-1] < _FOCAL / 2
    )


def _no_object(bias: NDArray[Any]) -> bool:
    """Whether the last class stands apart as one that nearly every query answers."""
    return bool(bias[-1] > np.median(bias) + 1 and bias[-1] > _FOCAL)


def _says_nothing(found: Queries) -> bool:
    """Whether the biases leave it to other signs what makes scores of the logits."""
    bias = found.bias
    if bias is None or found.classes == _SOFTMAX_CLASSES:
        return False
    return not _focal(bias) and not _no_object(bias)


def _by_boxes(found: Queries, words: str) -> tuple[str | None, str]:
    """Return what is left where the classes' biases say nothing, as in a network not trained.

    Boxes by one layer alone are DETR's and YOLOS's, which take a softmax; those around
    references came with focal loss, of which COCO's 91 ids leave no class for "no object".
    """
    if found.classes == 1:
        return "sigmoid", f"{words}; a softmax would make 1 of the only score: a sigmoid"
    if not found.referenced:
        return "softmax", f"{words}; boxes stand around no references, as DETR's: a softmax"
    if found.classes == len(COCO91):
        return "sigmoid", f"{words}; 91 are COCO's ids without 'no object': a sigmoid"
    return None, words


def _is_cut(found: Queries) -> bool:
    """Whether the class "no object" was cut off after a softmax."""
    return found.applied == "softmax" and found.logits.rest.max() < 0.99 / found.classes


def _classes(
    count: int, *, softmax: bool, cut: bool = False
) -> tuple[tuple[str, ...], int | None, dict[str, str]]:
    """Return names, the background's index and what that assumes, for ``count`` score columns."""
    if not softmax or cut:
        names, words = default_classes(count)
        return names, 0 if count == len(COCO91) else None, {"classes": words}
    words = f"the last of {count} classes is 'no object'"
    if count == _SOFTMAX_CLASSES:
        words = f"class names coco91 and {words}"
        return (UNUSED, *COCO91[1:], BACKGROUND), count - 1, {"classes": words}
    names, naming = default_classes(max(1, count - 1))
    known = (*names, BACKGROUND) if count > 1 else names
    return known, count - 1 if count > 1 else None, {"classes": naming, "background": words}


def _preprocessed(
    known: DetectorSpec, found: Queries, facts: GraphFacts, *, softmax: bool
) -> tuple[DetectorSpec, str]:
    """Return the spec with its sub-kind's preprocessing, and where that comes from.

    RT-DETR and D-FINE choose queries by TopK, say sigmoids, and number classes without gaps.
    """
    if softmax:
        return known, "the usual DETR export"
    if found.box.relative:
        return known, "the usual RF-DETR export"
    if found.classes == len(COCO91) or not facts.op_counts.get("TopK"):
        return known, "the usual Deformable DETR export"
    plain = known.input.model_copy(update={"mean": (0.0,) * 3, "std": (1.0,) * 3})
    return known.replace(input=plain.model_dump()), "the usual RT-DETR export"


def _masks(facts: GraphFacts) -> dict[str, Fed]:
    """Return the inputs that mark which pixels are the picture's: [1, H, W], no numbers of it."""
    image = image_tensor(facts)
    return {
        tensor.name: "ones"
        for tensor in facts.inputs
        if tensor.name != image.name and len(tensor.shape) == 3
    }


def _refuse_masks(found: Queries, facts: GraphFacts) -> None:
    for name, shape in shapes_of(facts).items():
        if len(shape) in (4, 5) and found.count in shape[:2]:
            raise refuse(
                TASKS["segment"],
                f"beside {found.count} boxes, output '{name}' holds as many masks",
            )
